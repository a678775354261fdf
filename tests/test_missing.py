"""The script that puts the originals' colours into a colorizer's pictures: each mixture is what its name says, and the
recorded table belongs to the packaged weights."""
import json

import pytest, torch

from biggan_colorize.color import rgb_to_lab
from biggan_colorize.colorizer import WEIGHTS, Colorizer
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.provenance import sha256

class Chroma:
    "In the place of the network: ab itself as features."
    def frechet_features(self, x): return rgb_to_lab(x)[:, 1:]

@pytest.fixture
def missing(benchmark_script): return benchmark_script("missing")

def test_the_mixtures(missing):
    x = load_arrays(photo_patches(4, size=128))[0]
    real, made, vivid = missing.measure(x, torch.tensor([5, 5, 7, 9]), Colorizer.from_pretrained("mini"), Chroma(), 2)
    def near(a, b): return (a - b).abs().mean().item()
    def at(name): return made[next(k for k in made if k.startswith(name))]
    ours = made["the colorizer"]
    def detail(ab): return ab - missing.coarse(ab, 16)
    assert near(at("the originals, put"), real) < 1e-3 < 1 < near(ours, real)
    flat = at("each original's mean")
    # one colour, but for rounding and where it does not fit the L
    assert flat.std((2, 3)).mean() < real.std((2, 3)).mean()/2
    at32, at16 = (near(at(f"the originals' colours at {size}"), real) for size in (32, 16))
    assert at32 < at16 < near(flat, real)
    def means(ab): return ab.mean((2, 3))
    assert near(means(at("the colorizer, with the originals' mean")), means(real)) < near(means(ours), means(real))/3
    assert near(means(at("the originals, with the colorizer's mean")), means(ours)) < near(means(ours), means(real))/3
    for name, low, high in (("the colorizer, with the originals' colours at 16", real, ours),
                            ("the colorizer at 16×16, with the originals' detail", ours, real)):
        mixed, other_low, other_high = at(name), high, low
        coarse = [missing.coarse(ab, 16) for ab in (mixed, low, other_low)]
        assert near(*coarse[:2]) < near(coarse[0], coarse[2])/3
        assert near(detail(mixed), detail(high)) < near(detail(mixed), detail(other_high))
    assert vivid["each original's mean colour"] < vivid["the originals, put together again"]

def test_the_recorded_table(root):
    path = root/"figures"/"missing.json"
    if not path.is_file(): pytest.skip("not recorded yet: benchmarks/missing.py does it")
    recorded = json.loads(path.read_text())
    assert recorded["dataset"] == "imagenet-20" and recorded["backend"] == "efficientnet-lite2"
    assert recorded["weights"] == sha256(WEIGHTS/"mini.safetensors") and recorded["images"] == 5000
