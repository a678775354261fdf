"""A thousand randomly damaged photographs through the command: no traceback, nothing lost or half-written, a summary,
the right exit status."""
import io, json, random

import pytest
import skimage.data
from PIL import Image

from biggan_colorize.colorizer import Colorizer, ColorizerConfig

def formats():
    "The same small photograph in every format that people keep: {suffix: bytes}."
    img, found = Image.fromarray(skimage.data.chelsea()).resize((48, 32)), {}
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix, mode, how in ((".jpg", "RGB", dict(exif=exif)), (".jpeg", "L", dict(progressive=True)),
                              (".png", "RGBA", {}), (".png", "P", {}),
                              (".gif", "P", dict(save_all=True, append_images=[img.convert("P")])),
                              (".tif", "I;16", {}), (".tiff", "RGB", dict(compression="tiff_lzw")), (".bmp", "RGB", {}),
                              (".webp", "RGB", {})):
        buffer = io.BytesIO()
        converted = img.convert("I").convert(mode) if mode == "I;16" else img.convert(mode)
        converted.save(buffer, Image.registered_extensions()[suffix], **how)
        found[suffix, mode] = buffer.getvalue()
    return found

def damage(data, rng):
    """One of the things that happen to files: a tail lost, bytes changed, a piece gone, doubled or zeroed, two files
    mixed."""
    data, how = bytearray(data), rng.randrange(6)
    at = rng.randrange(len(data))
    length = rng.randrange(1, 1 + min(64, len(data) - at))
    if how == 0: return bytes(data[:at])
    if how == 1:
        for _ in range(rng.randrange(1, 20)): data[rng.randrange(len(data))] = rng.randrange(256)
    if how == 2: del data[at:at + length]
    if how == 3: data[at:at] = data[at:at + length]
    if how == 4: data[at:at + length] = bytes(length)
    if how == 5:  # in the head, where sizes stand
        for _ in range(rng.randrange(1, 6)): data[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    return bytes(data)

@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    "A folder of 1,000 damaged files and 9 whole ones, and weights."
    folder, rng, whole = tmp_path_factory.mktemp("damaged"), random.Random(0), formats()
    for k in range(1000):
        (suffix, mode), data = rng.choice(list(whole.items()))
        (folder/f"{k:04}{suffix}").write_bytes(damage(data, rng))
    for (suffix, mode), data in whole.items(): (folder/f"whole_{mode.replace(';', '')}{suffix}").write_bytes(data)
    cfg = ColorizerConfig(resolution=32, feature_resolution=8, ch=2, encoder_ch=2, dim_z=8, shared_dim=4, n_classes=3,
                          attention=16)
    weights = tmp_path_factory.mktemp("weights")/"nano.safetensors"
    Colorizer(cfg, ["n02123045", "n03272010", "n07753592"]).eval().save(weights)
    return folder, weights

def test_a_thousand_damaged_files(run, damaged, tmp_path):
    folder, weights = damaged
    out = tmp_path/"out"
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = run("biggan-colorize", "colorize", folder, "-o", out, "--model", weights, "--label", "tabby", "--json")
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr, done.stderr[-2000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 1009  # each file has its line
    failed, made = [r for r in reports if r["error"]], [p["path"] for r in reports for p in r["pictures"]]
    # some damage is harmless
    assert len(failed) + len(made) == 1009 and 100 < len(failed) < 1000
    assert not [r for r in failed if "whole" in r["photo"]]
    assert all("\n" not in r["error"] and r["photo"] in r["error"] and len(r["error"]) < 500 for r in failed)
    assert sorted(str(p) for p in out.rglob("*") if p.is_file()) == sorted(made)  # nothing half-written, nothing else
    for path in made: Image.open(path).load()
    # the photographs are as they were
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    again = run("biggan-colorize", "colorize", folder, "-o", out, "--model", weights, "--label", "tabby")
    last = again.stdout.splitlines()[-1]
    assert (again.returncode == 1 and f"{len(made)} of 1009 photographs" in last
            and f"{len(made)} were there already" in last and f"{len(failed)} with a problem" in last)
