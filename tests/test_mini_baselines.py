"The mini baselines: each one trained from the command and in two halves, the packaged weights, and what is said when something is missing."
import json

import pytest
import torch

from biggan_colorize.baselines.mini import BUDGET, MINI_METHODS, load_mini, mini_cost, mini_preset, mini_weights, train_mini
from biggan_colorize.color import colorfulness, gray_lightness, rgb_to_lab, to_gray
from biggan_colorize.colorizer import WEIGHTS
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.runs import read_log

ON_PHOTOS = {"dataset": "photos", "model.n_classes": 1, "min_colorfulness": 0., "batch": 4, "precision": "float32"}

def train(name, out, **options):
    torch.manual_seed(17)  # the weights do not depend on what ran before
    return train_mini(name, out=out, images=32, settings=ON_PHOTOS, every=2, sample_every=4, workers=0, device="cpu", **options)

def state(trainer): return {f"{part}.{k}": v for part in ("model", "D", "ema") for k, v in getattr(trainer, part).state_dict().items()}

@pytest.fixture(scope="module")
def photos():
    x, _ = load_arrays(photo_patches(12))
    return x.float() / 255


@pytest.mark.parametrize("name", MINI_METHODS)
def test_in_two_halves_as_in_one(name, tmp_path):
    "A run that pauses after its first step and goes on ends with the same tensors and log as one that does not."
    whole = train(name, tmp_path/"whole")
    first = train(name, tmp_path/"halves", minutes=1e-9)
    assert first.images == 4 and not (tmp_path/"halves/model.safetensors").exists()
    second = train(name, tmp_path/"halves")
    assert second.images == whole.images == 32
    a, b = state(whole), state(second)
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    logs = [[{k: v for k, v in row.items() if k != "seconds" and v == v} for row in read_log(tmp_path/folder/"log.csv")] for folder in ("whole", "halves")]
    assert logs[0] == logs[1] and [r["images"] for r in logs[0]] == [8, 16, 24, 32]
    assert (tmp_path/"whole/samples/0000000016.png").exists()
    model = load_mini(name, tmp_path/"whole/model.safetensors")
    assert model.info["training"]["images_seen"] == 32 and model.info["training"]["preset"]["name"] == f"mini-{name}"


def test_phases_scale_with_the_budget(tmp_path):
    trainer = train("deoldify", tmp_path)
    assert trainer.preset.discriminator_from == mini_preset("deoldify").discriminator_from * 32 // BUDGET == 22
    rows = read_log(tmp_path/"log.csv")
    assert [row["D"] == row["D"] for row in rows] == [False, False, False, True]  # the critic only at the end


@pytest.mark.parametrize("name", MINI_METHODS)
def test_packaged_weights(name, photos):
    "They are there, they colour, they keep L, and they are not the weights of a network that was just made."
    model = load_mini(name)
    assert model.info["training"]["images_seen"] == BUDGET and len(model.classes) == 100
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
    assert sum(f.stat().st_size for f in WEIGHTS.iterdir()) < 40e6
    ours = mini_cost("ours")
    for name in MINI_METHODS:
        cost = mini_cost(name)
        assert 0.5 <= cost["trained"] / ours["trained"] <= 2 and 0.5 <= cost["multiply_adds"] / ours["multiply_adds"] <= 2, name


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
