"""The mini baselines: each one trained in two halves, the packaged weights, and what is said when something is missing
or does not fit."""
import json
from dataclasses import asdict, replace

import pytest
import torch

from biggan_colorize.baselines import mini_instcolor
from biggan_colorize.baselines.mini import (MINI_METHODS, Regression, load_mini, mini_cost, mini_method, mini_preset,
                                            mini_weights, train_mini)
from biggan_colorize.baselines.mini_instcolor import activation_boxes
from biggan_colorize.biggan import Discriminator, Generator
from biggan_colorize.color import colorfulness, gray_lightness, rgb_to_lab, to_gray
from biggan_colorize.colorizer import WEIGHTS, Colorizer
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.family import ship
from biggan_colorize.presets import MINI
from biggan_colorize.runs import RunOptions, read_log
from biggan_colorize.train import save_prior

NARROW = replace(MINI, ch=2, encoder_ch=2, n_classes=1)
PACKAGED = [name for name in MINI_METHODS if mini_weights(name).exists()]
OPTIONS = RunOptions(every=2, sample_every=4, workers=0, device="cpu")

def patches(n, size=128): return load_arrays(photo_patches(n, size))[0].float()/255

def a_prior(path, cfg):
    "An untrained prior for a configuration."
    save_prior(path, Generator(cfg.biggan), Discriminator(cfg.biggan))
    return str(path)

@pytest.fixture(scope="module")
def prior(tmp_path_factory): return a_prior(tmp_path_factory.mktemp("prior")/"prior.safetensors", NARROW)

@pytest.fixture(scope="module", autouse=True)
def look_once():
    "The classifier looks for the objects in the photographs once."
    look, seen = mini_instcolor.look, {}
    def once(x, *args):
        if x.shape not in seen: seen[x.shape] = look(x, *args)
        return seen[x.shape]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini_instcolor, "look", once)
        yield

def settings_of(name, prior):
    own = {"prior": prior, "discriminator_ch": NARROW.ch} if MINI_METHODS[name].as_ours else {}
    return {"dataset": "photos", "min_colorfulness": 0., "precision": "float32", "model": asdict(NARROW),
            "batch": 4} | own

def train(name, out, prior, **changes):
    torch.manual_seed(17)  # the weights do not depend on what ran before
    return train_mini(name, out=out, settings=settings_of(name, prior), images=32, options=replace(OPTIONS, **changes))

def make(name, prior, cfg=NARROW): return mini_method(name)[1](cfg, *([prior] if name == "tovivid" else [])).eval()

def state(trainer):
    return {f"{part}.{k}": v for part in ("model", "D", "ema") for k, v in getattr(trainer, part).state_dict().items()}


@pytest.mark.parametrize("name", MINI_METHODS)
def test_in_two_halves_as_in_one(name, prior, tmp_path):
    "A run that pauses after its first step and goes on ends with the same tensors and log as one that does not."
    whole = train(name, tmp_path/"whole", prior)
    first = train(name, tmp_path/"halves", prior, minutes=1e-9)
    assert first.images == 4 and not (tmp_path/"halves/model.safetensors").exists()
    second = train(name, tmp_path/"halves", prior)
    assert second.images == whole.images == 32
    a, b = state(whole), state(second)
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    logs = [[{k: v for k, v in row.items() if k != "seconds" and v == v} for row in read_log(tmp_path/folder/"log.csv")]
            for folder in ("whole", "halves")]
    assert logs[0] == logs[1] and [r["images"] for r in logs[0]] == [8, 16, 24, 32]
    assert (tmp_path/"whole/samples/0000000016.png").exists()
    model = load_mini(name, tmp_path/"whole/model.safetensors")
    assert model.info["training"]["images_seen"] == 32 and model.info["training"]["preset"]["name"] == f"mini-{name}"
    assert model.cfg == NARROW


@pytest.mark.parametrize("name", MINI_METHODS)
def test_written_and_read_again(name, prior, tmp_path):
    "The same network comes back from its file, with its configuration, and colours pictures of its size."
    model, gray = make(name, prior), to_gray(patches(3))
    model.save(tmp_path/"model.safetensors", half=False)
    again = load_mini(name, tmp_path/"model.safetensors")
    assert again.cfg == model.cfg == NARROW and all(getattr(again, k) == getattr(model, k) for k in model.kept)
    out = again.colorize_batch(gray)
    assert out.shape == (3, 3, 128, 128) and torch.equal(out, model.colorize_batch(gray))
    assert (rgb_to_lab(out)[:, :1] - gray_lightness(gray)).abs().mean() < 0.5
    with pytest.raises(ValueError, match=r"takes gray pictures \(B, 1, 128, 128\); \(1, 1, 64, 64\) came"):
        again.colorize_batch(torch.zeros(1, 1, 64, 64))


@pytest.mark.parametrize("name", MINI_METHODS)
def test_a_file_without_a_configuration_or_with_another_is_refused(name, prior, tmp_path):
    make(name, prior).save(tmp_path/"model.safetensors")
    about = json.loads((tmp_path/"model.json").read_text())
    wide = make(name, a_prior(tmp_path/"wide.safetensors", replace(NARROW, ch=4)), replace(NARROW, ch=4))
    wide.save(tmp_path/"other.safetensors")
    for changed, says in (({k: v for k, v in about.items() if k != "model"}, "has no entries `model`"),
                          (json.loads((tmp_path/"other.json").read_text()), "does not fit the model")):
        (tmp_path/"model.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=says) as e: load_mini(name, tmp_path/"model.safetensors")
        assert "\n" not in str(e.value)


def test_a_prior_of_another_size_is_refused(tmp_path):
    small = a_prior(tmp_path/"small.safetensors", replace(NARROW, resolution=64, dim_z=80))
    with pytest.raises(ValueError, match="is another BigGAN"): make("tovivid", small)
    for name, says in (("deoldify", "has a D of 64 pixels"), ("tovivid", "is another BigGAN")):
        with pytest.raises(ValueError, match=says):
            train_mini(name, out=tmp_path/name, settings=settings_of(name, small), images=8, options=OPTIONS)


def test_a_network_of_another_size_is_refused():
    for name in MINI_METHODS:
        if name == "tovivid": continue  # its prior says so first
        with pytest.raises(ValueError, match="work at 128 pixels, not at 64"):
            make(name, None, replace(NARROW, resolution=64, dim_z=80))


def test_a_shipped_tovivid_names_its_prior_in_the_package(prior, tmp_path):
    make("tovivid", prior).save(tmp_path/"tovivid/model.safetensors", training={"preset": {"prior": prior}})
    (tmp_path/"tovivid/log.csv").write_text("images,G\n4,1.0\n")
    ship(tmp_path, ["tovivid"], tmp_path/"weights")
    about = json.loads((tmp_path/"weights/tovivid-mini.json").read_text())
    assert about["prior"] == about["training"]["preset"]["prior"] == "mini-prior"
    assert about["log"] == [{"images": 4., "G": 1.}]


def test_objects_that_no_data_set_marks():
    "The classifier's boxes lie in the picture and depend on the picture alone."
    gray = to_gray(patches(6))
    boxes = activation_boxes(gray)
    assert boxes.any() and boxes.min() >= 0 and boxes.max() <= 128
    share = (boxes[:, 2:] - boxes[:, :2]).prod(1)/128**2
    assert (((share >= 0.05) & (share <= 0.95)) | (boxes == 0).all(1)).all()
    assert (boxes[2:3] - activation_boxes(gray[2:3])).abs().max() <= 1  # up to rounding


def test_phases_scale_with_the_budget(prior, tmp_path):
    trainer = train("deoldify", tmp_path, prior)
    assert trainer.preset.discriminator_from == int(MINI_METHODS["deoldify"].critic_from * 32) == 22
    rows = read_log(tmp_path/"log.csv")
    assert [row["D"] == row["D"] for row in rows] == [False, False, False, True]  # the critic only at the end


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights(name):
    "They are there, they colour, and they keep L."
    model = load_mini(name)
    gray = to_gray(patches(4))
    out = model.colorize_batch(gray, torch.arange(4), range(4))
    assert model.cfg == MINI and len(model.classes) == MINI.n_classes
    assert out.shape == (4, 3, 128, 128) and out.isfinite().all() and out.min() >= 0 and out.max() <= 1
    assert (rgb_to_lab(out)[:, :1] - gray_lightness(gray)).abs().mean() < 0.5
    assert torch.equal(out, model.colorize_batch(gray, torch.arange(4)))  # nothing is drawn


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_trained(name):
    "As long as the member of our family that they are compared with; the loss fell, and the colours are no grays."
    model, ours = load_mini(name), Colorizer.from_pretrained("mini-16")
    seen = model.info["training"]["images_seen"]
    assert seen == ours.info["training"]["images_seen"] and seen >= 10_000
    log = model.info["log"]
    assert 0 <= seen - log[-1]["images"] < log[1]["images"] - log[0]["images"]                  # to its end
    losses = [row["G"] for row in log if "G" in row]
    # where no critic moves the goal
    if not mini_preset(name).loss.adversarial: assert sum(losses[-6:]) < sum(losses[:6])
    assert colorfulness(model.colorize_batch(to_gray(patches(12)))).mean() > 5


def test_sizes():
    files = [mini_weights(name) for name in PACKAGED]
    assert sum(f.stat().st_size + f.with_suffix(".json").stat().st_size for f in files) < 14e6
    assert sum(f.stat().st_size for f in WEIGHTS.iterdir()) < 80e6
    ours = mini_cost("ours", MINI)
    for name in MINI_METHODS:
        cost = mini_cost(name, MINI)
        assert all(0.5 <= cost[k] / ours[k] <= 2 for k in ("trained", "multiply_adds")), name


@pytest.mark.parametrize("args, said", [
    (["zhang"], "There is no mini baseline 'zhang': take one of regression, cic"),
    (["cic", "--data", "{tmp}/nowhere"], "Expected imagenet-20 at"),
    (["cic", "--set", "colour=1"], "Preset has no setting 'colour'"),
    (["tovivid", "--set", "dataset=photos", "--set", "model.n_classes=1", "--set", "min_colorfulness=0.",
      "--set", "prior=none", "-o", "{tmp}/run"], "There is no prior 'none'"),
])
def test_bad_input_is_one_sentence(run, tmp_path, args, said):
    done = run("python", "-m", "biggan_colorize.baselines.mini", *(a.format(tmp=tmp_path) for a in args), cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_missing_weights_say_how_to_train_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m biggan_colorize.baselines.mini deoldify") as e:
        load_mini("deoldify", tmp_path/"none.safetensors")
    assert "minutes" not in str(e.value)


@pytest.mark.parametrize("name", MINI_METHODS)
def test_weights_of_another_method_are_refused(name, tmp_path):
    Regression(NARROW).save(tmp_path/"regression.safetensors")
    if name == "regression":
        load_mini(name, tmp_path/"regression.safetensors")
        return
    with pytest.raises(ValueError, match=f"the mini baseline regression, not of {name}"):
        load_mini(name, tmp_path/"regression.safetensors")


def test_no_weight_file_names_a_place_on_a_disk():
    for file in WEIGHTS.glob("*.json"):
        text = json.dumps(json.loads(file.read_text()))
        assert "/tmp" not in text and "/home" not in text and "/work" not in text, file.name
