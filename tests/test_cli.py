"The command in a process of its own: exit statuses, messages, files; with a tiny untrained model, and with `mini` where it is shipped."
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT/"biggan_colorize"/"weights"/"mini.safetensors"
CLASSES = ["n02123045", "n03272010", "n07753592"]  # tabby, electric guitar, banana

@pytest.fixture(scope="session")
def nano(tmp_path_factory):
    "Weights of a model too small to paint well, but real."
    from biggan_colorize.colorizer import Colorizer, ColorizerConfig
    cfg = ColorizerConfig(resolution=32, feature_resolution=8, ch=2, encoder_ch=2, dim_z=8, shared_dim=4, n_classes=3, attention=16)
    path = tmp_path_factory.mktemp("weights")/"nano.safetensors"
    Colorizer(cfg, CLASSES).eval().save(path)
    return path

@pytest.fixture
def album(tmp_path):
    "Two photographs, one of them on its side, in folders with spaces and accents."
    folder = tmp_path/"my álbum"; (folder/"1931").mkdir(parents=True)
    Image.fromarray(skimage.data.chelsea()).convert("L").save(folder/"cat.png")
    exif = Image.Exif(); exif[0x0112] = 6
    Image.fromarray(skimage.data.coffee()).save(folder/"1931"/"cup.jpg", exif=exif)
    return folder

def outputs(folder): return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

def plain(done, status):
    "The exit status is `status`, and nobody sees a traceback."
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr

def test_help(run):
    for command in ([], ["colorize"], ["filter"], ["convert"], ["train"]):
        assert "Usage: biggan-colorize" in plain(run("biggan-colorize", *command, "--help"), 0)

def test_folder_at_full_size_upright_with_two_seeds(run, nano, album, tmp_path):
    out = tmp_path/"out"
    shown = plain(run("biggan-colorize", "colorize", album, "-o", out, "--model", nano, "--label", "banana", "--seeds", "0,1"), 0)
    assert outputs(out) == ["1931/cup_banana_seed0.png", "1931/cup_banana_seed1.png", "cat_banana_seed0.png", "cat_banana_seed1.png"]
    assert Image.open(out/"cat_banana_seed0.png").size == (451, 300)
    assert Image.open(out/"1931/cup_banana_seed0.png").size == (400, 600)  # stored as 600×400
    assert "banana (n07753592)" in shown and shown.splitlines()[-1] != "" and "2 of 2 photographs" in shown

def test_lightness_is_the_photographs_own(run, nano, album, tmp_path):
    plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path, "--model", nano, "--label", "0"), 0)
    from skimage.color import rgb2lab
    gray, made = (rgb2lab(np.array(Image.open(p).convert("RGB"))) for p in (album/"cat.png", tmp_path/"cat_tabby_seed0.png"))
    assert np.abs(gray[..., 0] - made[..., 0]).max() < 1.5

def test_classifier_chooses_among_the_models_classes(run, nano, album, tmp_path):
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano), 0)
    assert "tabby (n02123045), probability" in shown and outputs(tmp_path/"out") == ["cat_tabby_seed0.png"]

def test_a_bad_file_does_not_stop_the_others(run, nano, album, tmp_path):
    (album/"broken.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    (album/"empty.png").touch()
    whole = (album/"1931"/"cup.jpg").read_bytes()
    (album/"half.jpg").write_bytes(whole[:len(whole)//2])
    done = run("biggan-colorize", "colorize", album, tmp_path/"missing.jpg", "-o", tmp_path/"out", "--model", nano, "--label", "tabby")
    plain(done, 1)
    for name in ("broken.jpg", "empty.png", "missing.jpg"): assert sum(name in line for line in done.stderr.splitlines()) == 1
    assert {"cat_tabby_seed0.png", "1931/cup_tabby_seed0.png"} <= set(outputs(tmp_path/"out"))
    assert not [name for name in outputs(tmp_path/"out") if "broken" in name or "empty" in name or "." == Path(name).name[0]]
    assert "with a problem" in done.stdout.splitlines()[-1]

def test_nothing_is_overwritten_unless_asked(run, nano, album, tmp_path):
    command = ["biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano, "--label", "tabby"]
    target = tmp_path/"out"/"cat_tabby_seed0.png"
    target.parent.mkdir(); target.write_bytes(b"mine")
    assert "already there" in plain(run(*command), 1) and target.read_bytes() == b"mine"
    plain(run(*command, "--overwrite"), 0)
    assert Image.open(target).size == (451, 300) and outputs(target.parent) == [target.name]

@pytest.mark.parametrize("args, said", [
    (["--label", "bananna"], "banana"), (["--label", "3"], "0 to 2"), (["--seeds", "-1"], "whole numbers"), (["--seeds", "a"], "whole numbers"),
    (["--model", "nothing"], "nothing"), (["--model", "nowhere.safetensors"], "nowhere.safetensors"), (["--bogus"], "--bogus")])
def test_a_wrong_command_line_makes_nothing(run, nano, album, tmp_path, args, said):
    model = [] if "--model" in args else ["--model", nano]
    done = run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", *model, *args)
    plain(done, 2)
    assert said in done.stderr.splitlines()[-1] and not (tmp_path/"out").exists()

@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":1}x"])
def test_corrupt_weights(run, album, tmp_path, content):
    weights = tmp_path/"bad.safetensors"; weights.write_bytes(content)
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", weights), 2)
    assert "bad.safetensors" in shown and shown.count("\n") == 1

@pytest.mark.parametrize("about", ["", "{}", "[]", '{"config": {"bogus": 1}, "classes": []}', '{"config": {"resolution": "x"}, "classes": []}'])
def test_json_of_another_kind(run, nano, album, tmp_path, about):
    weights = tmp_path/"odd.safetensors"; weights.write_bytes(nano.read_bytes()); weights.with_suffix(".json").write_text(about)
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", weights), 2)
    assert shown.startswith("Error: ") and shown.count("\n") == 1

def test_truncated_weights(run, nano, album, tmp_path):
    weights = tmp_path/"short.safetensors"; weights.write_bytes(nano.read_bytes()[:-100])
    if (info := nano.with_suffix(".json")).exists(): weights.with_suffix(".json").write_bytes(info.read_bytes())
    assert "short.safetensors" in plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", weights), 2)

def test_output_folder_is_a_file(run, nano, album, tmp_path):
    (tmp_path/"out").write_text("mine")
    plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano), 2)
    assert (tmp_path/"out").read_text() == "mine"

@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_output_folder_cannot_be_written(run, nano, album, tmp_path):
    (tmp_path/"out").mkdir(mode=0o555)
    assert "cannot be written" in plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano), 2)

def test_convert_runs_no_code_of_a_pickle(run, tmp_path):
    class Evil:
        def __reduce__(self): return (os.mkdir, (str(tmp_path/"owned"),))
    import torch
    torch.save({"encoder": Evil()}, tmp_path/"evil.ckpt")
    done = run("biggan-colorize", "convert", tmp_path/"evil.ckpt", "-o", tmp_path/"w.safetensors")
    plain(done, 2)
    assert not (tmp_path/"owned").exists() and not list(tmp_path.glob("*w.safetensors")) and done.stderr.count("\n") == 1

@pytest.mark.skipif(not MINI.exists(), reason="the weights of mini are not in the package")
def test_mini_colorizes_a_photograph(run, album, tmp_path):
    shown = plain(run("biggan-colorize", "colorize", album, "-o", tmp_path/"out"), 0)
    assert len(outputs(tmp_path/"out")) == 2 and "probability" in shown
    made = np.array(Image.open(next((tmp_path/"out").glob("cat_*.png")))).astype(int)
    assert np.ptp(made, axis=2).mean() > 5  # a gray image has 0: mean of largest minus smallest channel
