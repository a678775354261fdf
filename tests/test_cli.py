"""The command in a process of its own: exit statuses, messages, files; with a tiny untrained model, and with `mini`
where it is shipped."""
import json, os, sys, zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT/"biggan_colorize"/"weights"/"mini.safetensors"

@pytest.fixture
def album(tmp_path):
    "Two photographs, one of them on its side, in folders with spaces and accents."
    folder = tmp_path/"my álbum"
    (folder/"1931").mkdir(parents=True)
    Image.fromarray(skimage.data.chelsea()).convert("L").save(folder/"cat.png")
    exif = Image.Exif()
    exif[0x0112] = 6
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
    shown = plain(run("biggan-colorize", "colorize", album, "-o", out, "--model", nano, "--label", "banana", "--seeds",
                      "0,1"), 0)
    assert outputs(out) == ["1931/cup.jpg_banana_seed0.png", "1931/cup.jpg_banana_seed1.png",
                            "cat.png_banana_seed0.png", "cat.png_banana_seed1.png"]
    assert Image.open(out/"cat.png_banana_seed0.png").size == (451, 300)
    assert Image.open(out/"1931/cup.jpg_banana_seed0.png").size == (400, 600)  # stored as 600×400
    assert "banana (n07753592)" in shown and shown.splitlines()[-1] != "" and "2 of 2 photographs" in shown

def test_lightness_is_the_photographs_own(run, nano, album, tmp_path):
    plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path, "--model", nano, "--label", "0"), 0)
    from skimage.color import rgb2lab
    gray, made = (rgb2lab(np.array(Image.open(p).convert("RGB")))
                  for p in (album/"cat.png", tmp_path/"cat.png_tabby_seed0.png"))
    assert np.abs(gray[..., 0] - made[..., 0]).max() < 1.5

def test_classifier_chooses_among_the_models_classes(run, nano, album, tmp_path):
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano), 0)
    assert "tabby (n02123045), probability" in shown and outputs(tmp_path/"out") == ["cat.png_tabby_seed0.png"]

def test_a_bad_file_does_not_stop_the_others(run, nano, album, tmp_path):
    (album/"broken.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    (album/"empty.png").touch()
    whole = (album/"1931"/"cup.jpg").read_bytes()
    (album/"half.jpg").write_bytes(whole[:len(whole)//2])
    done = run("biggan-colorize", "colorize", album, tmp_path/"missing.jpg", "-o", tmp_path/"out", "--model", nano,
               "--label", "tabby")
    plain(done, 1)
    for name in ("broken.jpg", "empty.png", "missing.jpg"):
        assert sum(name in line for line in done.stderr.splitlines()) == 1
    assert {"cat.png_tabby_seed0.png", "1931/cup.jpg_tabby_seed0.png"} <= set(outputs(tmp_path/"out"))
    assert not [name for name in outputs(tmp_path/"out") if "broken" in name or "empty" in name
                or "." == Path(name).name[0]]
    assert "with a problem" in done.stdout.splitlines()[-1]

def test_nothing_is_overwritten_unless_asked(run, nano, album, tmp_path):
    command = ["biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano, "--label",
               "tabby"]
    target = tmp_path/"out"/"cat.png_tabby_seed0.png"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    assert "already there" in plain(run(*command), 1) and target.read_bytes() == b"mine"
    plain(run(*command, "--overwrite"), 0)
    assert Image.open(target).size == (451, 300) and outputs(target.parent) == [target.name]

def test_a_second_run_leaves_out_what_is_done(quick, nano, album, tmp_path):
    command = ["biggan-colorize", "colorize", album, "-o", tmp_path/"out", "--model", nano, "--label", "tabby"]
    plain(quick(*command), 0)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path/"out").rglob("*.png")}
    shown = plain(quick(*command, "--seeds", "0,1"), 0)
    assert "2 pictures" in shown and "2 were there already" in shown and len(outputs(tmp_path/"out")) == 4
    assert {p: p.stat().st_mtime_ns for p in before} == before

def test_other_settings_do_not_pass_for_the_same(quick, nano, album, tmp_path):
    command = ["biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano, "--label",
               "tabby"]
    plain(quick(*command), 0)
    first = (tmp_path/"out"/"cat.png_tabby_seed0.png").read_bytes()
    for more in (["--truncation", "0.3"], ["--lightness", "linear100"], ["--upsampling", "bilinear"]):
        assert "already there" in plain(quick(*command, *more), 1)
    assert (tmp_path/"out"/"cat.png_tabby_seed0.png").read_bytes() == first
    plain(quick(*command, "--upsampling", "bilinear", "--overwrite"), 0)
    assert (tmp_path/"out"/"cat.png_tabby_seed0.png").read_bytes() != first

def test_variants_json_and_a_contact_sheet(quick, nano, album, tmp_path):
    done = quick("biggan-colorize", "colorize", album, "-o", tmp_path/"out", "--model", nano, "--label", "mixed",
                 "--guesses", "2", "--seeds", "0,1", "--json", "--sheet", tmp_path/"sheet.png")
    plain(done, 0)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 2 and all(len(r["pictures"]) == 6 and not r["error"] for r in reports)
    for r in reports:
        assert {p["class"] for p in r["pictures"]} > {"mixed"} and len({p["class"] for p in r["pictures"]}) == 3
        assert all(Path(p["path"]).is_file() and (p["probability"] is None) == (p["class"] == "mixed")
                   for p in r["pictures"])
    sheet = Image.open(tmp_path/"sheet.png")
    assert sheet.width >= 7 * 160 and sheet.height >= 2 * 160  # a block of seven pictures in each of two rows
    (tmp_path/"mine.png").write_bytes(b"mine")
    assert "no contact sheet" in plain(quick("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out",
                                             "--model", nano, "--sheet", tmp_path/"mine.png"), 1)
    assert (tmp_path/"mine.png").read_bytes() == b"mine"

def bomb(path):
    "A PNG of 400 million white pixels in 50 kB."
    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
    side = 20_000
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(b"\0" + b"\xff" * (side // 8)) for _ in range(side)) + packed.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])) +
                     chunk(b"IDAT", data) + chunk(b"IEND", b""))

def test_odd_files_are_handled_or_refused_in_one_sentence(run, nano, tmp_path):
    odd = tmp_path/"odd"
    odd.mkdir()
    cat = Image.fromarray(skimage.data.chelsea())
    cat.resize((1, 1)).save(odd/"pixel.png")
    cat.resize((1, 4000)).save(odd/"strip.png")
    gray16 = np.asarray(cat.convert("L")).astype(np.uint16) * 257
    Image.fromarray(gray16).save(odd/"deep.tif")
    frames = [cat.resize((90, 60)).convert("P"), cat.rotate(180).resize((90, 60)).convert("P")]
    frames[0].save(odd/"moving.gif", save_all=True, append_images=frames[1:])
    (odd/"letter.jpg").write_text("Dear diary, today I was a photograph.")
    (odd/"nothing.jpg").touch()
    bomb(odd/"bomb.png")
    assert (odd/"bomb.png").stat().st_size < 100_000
    done = run("biggan-colorize", "colorize", odd, "-o", tmp_path/"out", "--model", nano, "--label", "tabby", "--json")
    plain(done, 1)
    reports = {Path(r["photo"]).name: r for r in map(json.loads, done.stdout.splitlines())}
    for name, says in {"letter.jpg": "not an image", "nothing.jpg": "empty (0 bytes)",
                       "bomb.png": "too many pixels"}.items():
        report = reports[name]
        assert says in report["error"] and report["error"].count(".") <= 2 and not report["pictures"], report
    for name, size in {"pixel.png": (1, 1), "strip.png": (1, 4000), "deep.tif": (451, 300),
                       "moving.gif": (90, 60)}.items():
        report = reports[name]
        assert not report["error"] and Image.open(report["pictures"][0]["path"]).size == size, report
    assert reports["moving.gif"]["note"] == "of its 2 pictures the first is used"
    assert len(outputs(tmp_path/"out")) == 4
    assert len([line for line in done.stderr.splitlines() if "photo/s" not in line and line.strip()]) == 3
    from skimage.color import rgb2lab
    L = rgb2lab(np.array(Image.open(tmp_path/"out"/"deep.tif_tabby_seed0.png")))[..., 0]
    # 16 bits are not clipped
    assert np.abs(L - rgb2lab(np.repeat((gray16 // 257).astype(np.uint8)[..., None], 3, 2))[..., 0]).max() < 1.5

def test_profile_is_kept(quick, nano, tmp_path):
    from PIL import ImageCms
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(skimage.data.chelsea()).save(tmp_path/"cat.jpg", icc_profile=profile)
    plain(quick("biggan-colorize", "colorize", tmp_path/"cat.jpg", "-o", tmp_path/"out", "--model", nano, "--label",
                "tabby"), 0)
    assert Image.open(tmp_path/"out"/"cat.jpg_tabby_seed0.png").info["icc_profile"] == profile

MEMORY = """
import resource, sys
from biggan_colorize.cli import app
def peak(photo):
    command = ["colorize", photo, "-o", sys.argv[1], "--model", sys.argv[2], "--label", "tabby"]
    assert app(command, standalone_mode=False) in (0, None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak(sys.argv[3])
print("extra MiB:", (peak(sys.argv[4]) - before) // 1024)
"""

@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux alone")
def test_fifty_megapixels_within_two_gibibytes(run, nano, album, tmp_path):
    Image.fromarray(skimage.data.chelsea()).resize((8192, 6144), Image.BILINEAR).save(tmp_path/"big.jpg", quality=80)
    done = run("python", "-c", MEMORY, tmp_path/"out", nano, album/"cat.png", tmp_path/"big.jpg")
    plain(done, 0)
    extra = int(done.stdout.rsplit("extra MiB:", 1)[1])
    assert Image.open(tmp_path/"out"/"big.jpg_tabby_seed0.png").size == (8192, 6144)
    assert extra < 2048, f"{extra} MiB"

@pytest.mark.parametrize("args, said", [
    (["--label", "bananna"], "banana"), (["--label", "3"], "0 to 2"), (["--seeds", "-1"], "whole numbers"),
    (["--seeds", "a"], "whole numbers"),
    (["--model", "nothing"], "nothing"), (["--model", "nowhere.safetensors"], "nowhere.safetensors"),
    (["--bogus"], "--bogus")])
def test_a_wrong_command_line_makes_nothing(run, nano, album, tmp_path, args, said):
    model = [] if "--model" in args else ["--model", nano]
    done = run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", *model, *args)
    plain(done, 2)
    assert said in done.stderr.splitlines()[-1] and not (tmp_path/"out").exists()

@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":1}x"])
def test_corrupt_weights(run, album, tmp_path, content):
    weights = tmp_path/"bad.safetensors"
    weights.write_bytes(content)
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", weights), 2)
    assert "bad.safetensors" in shown and shown.count("\n") == 1

@pytest.mark.parametrize("about",
                         ["", "{}", "[]", '{"config": {"bogus": 1}, "classes": []}',
                          '{"config": {"resolution": "x"}, "classes": []}'])
def test_json_of_another_kind(run, nano, album, tmp_path, about):
    weights = tmp_path/"odd.safetensors"
    weights.write_bytes(nano.read_bytes())
    weights.with_suffix(".json").write_text(about)
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", weights), 2)
    assert shown.startswith("Error: ") and shown.count("\n") == 1

def test_truncated_weights(run, nano, album, tmp_path):
    weights = tmp_path/"short.safetensors"
    weights.write_bytes(nano.read_bytes()[:-100])
    if (info := nano.with_suffix(".json")).exists(): weights.with_suffix(".json").write_bytes(info.read_bytes())
    assert "short.safetensors" in plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out",
                                            "--model", weights), 2)

def test_output_folder_is_a_file(run, nano, album, tmp_path):
    (tmp_path/"out").write_text("mine")
    plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out", "--model", nano), 2)
    assert (tmp_path/"out").read_text() == "mine"

@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_output_folder_cannot_be_written(run, nano, album, tmp_path):
    (tmp_path/"out").mkdir(mode=0o555)
    assert "cannot be written" in plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out",
                                            "--model", nano), 2)

def test_convert_runs_no_code_of_a_pickle(run, tmp_path):
    class Evil:
        def __reduce__(self): return (os.mkdir, (str(tmp_path/"owned"),))
    import torch
    torch.save({"encoder": Evil()}, tmp_path/"evil.ckpt")
    done = run("biggan-colorize", "convert", tmp_path/"evil.ckpt", "-o", tmp_path/"w.safetensors")
    plain(done, 2)
    assert not (tmp_path/"owned").exists() and not list(tmp_path.glob("*w.safetensors"))
    assert done.stderr.count("\n") == 1

@pytest.mark.skipif(not MINI.exists(), reason="the weights of mini are not in the package")
def test_mini_colorizes_a_photograph(run, album, tmp_path):
    shown = plain(run("biggan-colorize", "colorize", album, "-o", tmp_path/"out", "--model", "mini"), 0)
    assert len(outputs(tmp_path/"out")) == 2 and "probability" in shown
    made = np.array(Image.open(next((tmp_path/"out").glob("cat.png_*.png")))).astype(int)
    assert np.ptp(made, axis=2).mean() > 5  # a gray image has 0: mean of largest minus smallest channel

@pytest.mark.skipif(not MINI.with_name("photo.safetensors").exists(),
                    reason="the weights of photo are not in the package")
def test_without_model_and_label_photo_colorizes_a_photograph_of_any_content(run, album, tmp_path):
    shown = plain(run("biggan-colorize", "colorize", album/"cat.png", "-o", tmp_path/"out"), 0)
    assert outputs(tmp_path/"out") == ["cat.png_any_seed0.png"] and "probability" not in shown
    made = np.array(Image.open(tmp_path/"out/cat.png_any_seed0.png")).astype(int)
    assert np.ptp(made, axis=2).mean() > 5
