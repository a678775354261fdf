"""The mini baselines: each one at 64 and 128 pixels, trained in two halves, the packaged weights, and what is said when
something is missing or does not fit."""
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from biggan_colorize.baselines import mini_instcolor
from biggan_colorize.baselines.mini import (AT_64, BUDGET, MINI_METHODS, Regression, load_mini, mini_cost, mini_method,
                                            mini_preset, mini_weights, packaged_prior, ship_mini, train_mini)
from biggan_colorize.baselines.mini_instcolor import UNKNOWN, activation_boxes, read_boxes
from biggan_colorize.biggan import Discriminator, Generator
from biggan_colorize.color import colorfulness, gray_lightness, rgb_to_lab, to_gray
from biggan_colorize.colorizer import WEIGHTS
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.runs import read_log
from biggan_colorize.train import save_prior

AT_128 = replace(AT_64, resolution=128, dim_z=120, n_classes=20)
NARROW = {cfg.resolution: replace(cfg, ch=2, encoder_ch=2, n_classes=1) for cfg in (AT_64, AT_128)}

def patches(n, size): return load_arrays(photo_patches(n, size))[0].float()/255

@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    "An untrained prior for each narrow network."
    files = {R: str(tmp_path_factory.mktemp("priors")/"prior.safetensors") for R in NARROW}
    for R, cfg in NARROW.items(): save_prior(files[R], Generator(cfg.biggan), Discriminator(cfg.biggan))
    return files

@pytest.fixture(scope="module", autouse=True)
def look_once():
    "The classifier looks for the objects in the photographs of each size once."
    look, seen = mini_instcolor.look, {}
    def once(x, *args):
        if x.shape not in seen: seen[x.shape] = look(x, *args)
        return seen[x.shape]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini_instcolor, "look", once)
        yield

def settings_of(name, R, priors):
    own = {"prior": priors[R], "discriminator_ch": NARROW[R].ch} if MINI_METHODS[name].as_ours else {}
    own |= {"model": asdict(NARROW[R]), "batch": 4}
    return {"dataset": "photos", "min_colorfulness": 0., "precision": "float32"} | own

def train(name, out, R, priors, **options):
    torch.manual_seed(17)  # the weights do not depend on what ran before
    return train_mini(name, out=out, images=32, settings=settings_of(name, R, priors), every=2, sample_every=4,
                      workers=0, device="cpu", **options)

def make(name, R, priors):
    return mini_method(name)[1](NARROW[R], *([priors[R]] if name == "tovivid" else [])).eval()

def state(trainer): return {f"{part}.{k}": v for part in ("model", "D", "ema") for k, v in getattr(trainer, part).state_dict().items()}


@pytest.mark.parametrize("R", NARROW)
@pytest.mark.parametrize("name", MINI_METHODS)
def test_in_two_halves_as_in_one(name, R, priors, tmp_path):
    "A run that pauses after its first step and goes on ends with the same tensors and log as one that does not."
    whole = train(name, tmp_path/"whole", R, priors)
    first = train(name, tmp_path/"halves", R, priors, minutes=1e-9)
    assert first.images == 4 and not (tmp_path/"halves/model.safetensors").exists()
    second = train(name, tmp_path/"halves", R, priors)
    assert second.images == whole.images == 32
    a, b = state(whole), state(second)
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    logs = [[{k: v for k, v in row.items() if k != "seconds" and v == v} for row in read_log(tmp_path/folder/"log.csv")] for folder in ("whole", "halves")]
    assert logs[0] == logs[1] and [r["images"] for r in logs[0]] == [8, 16, 24, 32]
    assert (tmp_path/"whole/samples/0000000016.png").exists()
    model = load_mini(name, tmp_path/"whole/model.safetensors")
    assert model.info["training"]["images_seen"] == 32 and model.info["training"]["preset"]["name"] == f"mini-{name}"
    assert model.cfg == NARROW[R] and (name != "instcolor" or model.looks)  # the photographs mark no objects


@pytest.mark.parametrize("R", NARROW)
@pytest.mark.parametrize("name", MINI_METHODS)
def test_written_and_read_again(name, R, priors, tmp_path):
    "The same network comes back from its file, with its configuration, and colours pictures of its size."
    model, gray = make(name, R, priors), to_gray(patches(3, R))
    model.save(tmp_path/"model.safetensors", half=False)
    again = load_mini(name, tmp_path/"model.safetensors")
    assert again.cfg == model.cfg == NARROW[R] and all(getattr(again, k) == getattr(model, k) for k in model.kept)
    out = again.colorize_batch(gray)
    assert out.shape == (3, 3, R, R) and torch.equal(out, model.colorize_batch(gray))
    assert (rgb_to_lab(out)[:, :1] - gray_lightness(gray)).abs().mean() < 0.5
    with pytest.raises(ValueError, match=rf"takes gray pictures \(B, 1, {R}, {R}\)"):
        again.colorize_batch(torch.zeros(1, 1, 192 - R, 192 - R))


@pytest.mark.parametrize("name", MINI_METHODS)
def test_two_sizes_in_one_file_are_refused(name, priors, tmp_path):
    for R in NARROW: make(name, R, priors).save(tmp_path/f"{R}.safetensors")
    texts = {R: (tmp_path/f"{R}.json").read_text() for R in NARROW}
    for R in NARROW:
        (tmp_path/f"{R}.json").write_text(texts[192 - R])
        with pytest.raises(ValueError, match=f"is for {R} pixels, and .* beside it for {192 - R}") as e:
            load_mini(name, tmp_path/f"{R}.safetensors")
        assert "\n" not in str(e.value)


def test_a_prior_of_another_size_is_refused(priors, tmp_path):
    with pytest.raises(ValueError, match="is another BigGAN"): mini_method("tovivid")[1](NARROW[128], priors[64])
    for name, says in (("deoldify", "has a D of 64 pixels"), ("tovivid", "is another BigGAN")):
        with pytest.raises(ValueError, match=says):
            settings = settings_of(name, 128, priors) | {"prior": priors[64]}
            train_mini(name, out=tmp_path/name, images=8, settings=settings, workers=0, device="cpu")


def test_a_file_without_a_configuration_is_of_the_first_size(tmp_path):
    Regression(AT_64).save(tmp_path/"old.safetensors")
    about = json.loads((tmp_path/"old.json").read_text())
    (tmp_path/"old.json").write_text(json.dumps({k: v for k, v in about.items() if k != "model"}))
    assert load_mini("regression", tmp_path/"old.safetensors").cfg == AT_64


def test_a_shipped_tovivid_names_its_prior_in_the_package(priors, tmp_path):
    make("tovivid", 128, priors).save(tmp_path/"tovivid/model.safetensors", training={"preset": {"prior": priors[128]}})
    (tmp_path/"tovivid/log.csv").write_text("images,G\n4,1.0\n")
    (tmp_path/"weights").mkdir()
    with pytest.raises(ValueError, match="not among the packaged ones"):
        ship_mini(tmp_path, ["tovivid"], tmp_path/"weights")
    for end in (".safetensors", ".json"):
        (tmp_path/f"weights/small-prior{end}").write_bytes(Path(priors[128]).with_suffix(end).read_bytes())
    ship_mini(tmp_path, ["tovivid"], tmp_path/"weights")
    about = json.loads((tmp_path/"weights/tovivid-mini.json").read_text())
    assert about["prior"] == about["training"]["preset"]["prior"] == "small-prior" == packaged_prior("small-prior")


def test_objects_that_no_data_set_marks():
    "The classifier's boxes lie in the picture and depend on the picture alone."
    gray, unmarked = to_gray(patches(6, 128)), read_boxes(photo_patches(6, 128))
    boxes = activation_boxes(gray)
    assert (unmarked == UNKNOWN).all() and boxes.any() and boxes.min() >= 0 and boxes.max() <= 128
    share = (boxes[:, 2:] - boxes[:, :2]).prod(1)/128**2
    assert (((share >= 0.05) & (share <= 0.95)) | (boxes == 0).all(1)).all()
    assert (boxes[2:3] - activation_boxes(gray[2:3])).abs().max() <= 1  # up to rounding
    model = mini_method("instcolor")[1](NARROW[128], looks=True).eval()
    assert torch.equal(model.colorize_batch(gray, boxes=unmarked), model.colorize_batch(gray, boxes=boxes))


def test_phases_scale_with_the_budget(priors, tmp_path):
    trainer = train("deoldify", tmp_path, 64, priors)
    assert trainer.preset.discriminator_from == int(MINI_METHODS["deoldify"].critic_from * 32) == 22
    rows = read_log(tmp_path/"log.csv")
    assert [row["D"] == row["D"] for row in rows] == [False, False, False, True]  # the critic only at the end


@pytest.mark.parametrize("name", MINI_METHODS)
def test_packaged_weights(name):
    "They are there, they colour, they keep L, and they are not the weights of a network that was just made."
    model = load_mini(name)
    photos = patches(12, model.resolution)
    assert model.info["training"]["images_seen"] == BUDGET and len(model.classes) == model.cfg.n_classes
    gray = to_gray(photos)
    out = model.colorize_batch(gray, torch.arange(len(gray)), range(len(gray)))
    assert out.shape == photos.shape and out.isfinite().all() and out.min() >= 0 and out.max() <= 1
    assert (rgb_to_lab(out)[:, :1] - gray_lightness(gray)).abs().mean() < 0.5
    assert torch.equal(out, model.colorize_batch(gray, torch.arange(len(gray))))  # nothing is drawn
    assert colorfulness(out).mean() > 5
    losses = [row["G"] for row in model.info["log"] if "G" in row]
    assert model.info["log"][-1]["images"] >= BUDGET - 320
    if not mini_preset(name).loss.adversarial: assert sum(losses[-6:]) < sum(losses[:6])  # where no critic moves the goal


def test_sizes():
    files = [mini_weights(name) for name in MINI_METHODS]
    assert sum(f.stat().st_size + f.with_suffix(".json").stat().st_size for f in files) < 8.2e6
    assert sum(f.stat().st_size for f in WEIGHTS.iterdir()) < 80e6
    for cfg in (AT_64, AT_128):
        ours = mini_cost("ours", cfg)
        for name in MINI_METHODS:
            cost = mini_cost(name, cfg)
            assert all(0.5 <= cost[k] / ours[k] <= 2 for k in ("trained", "multiply_adds")), (name, cfg.resolution)


@pytest.mark.parametrize("args, said", [
    (["zhang"], "There is no mini baseline 'zhang': take one of regression, cic"),
    (["cic", "--data", "{tmp}/nowhere"], "Tiny-ImageNet was looked for at"),
    (["cic", "--set", "colour=1"], "Preset has no setting 'colour'"),
    (["tovivid", "--set", "dataset=photos", "--set", "model.n_classes=1", "--set", "min_colorfulness=0.", "--set", "prior=none", "-o", "{tmp}/run"], "There is no prior 'none'"),
])
def test_bad_input_is_one_sentence(run, tmp_path, args, said):
    done = run("python", "-m", "biggan_colorize.baselines.mini", *(a.format(tmp=tmp_path) for a in args), cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("Error: ") and said in done.stderr and "Traceback" not in done.stderr


def test_missing_weights_say_how_to_train_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m biggan_colorize.baselines.mini deoldify"): load_mini("deoldify", tmp_path/"none.safetensors")


@pytest.mark.parametrize("name", MINI_METHODS)
def test_weights_of_another_method_are_refused(name):
    for other in MINI_METHODS:
        if other == name: continue
        with pytest.raises(ValueError, match=f"the mini baseline {other}, not of {name}"): load_mini(name, mini_weights(other))


def test_no_weight_file_names_a_place_on_a_disk():
    for name in MINI_METHODS:
        text = json.dumps(json.loads(mini_weights(name).with_suffix(".json").read_text()))
        assert "/tmp" not in text and "/home" not in text and "/work" not in text
