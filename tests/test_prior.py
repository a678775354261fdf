"""The script that compares priors: each sample is of the class asked for, a judge counts and measures what it sees,
and the recorded table belongs to the weights in the repository."""
import json

import pytest, torch

from biggan_colorize.colorizer import WEIGHTS
from biggan_colorize.data import imagenet_wnids
from biggan_colorize.provenance import sha256
from biggan_colorize.train import read_prior

class Judge:
    "In the place of a network: mean colours as features, ten times the first of them as the class."
    name, dim = "judge", 3
    def frechet_features(self, x): return x.mean((2, 3))
    def probabilities(self, f): return torch.zeros(len(f), 1000).scatter_(1, (10*f[:, :1]).round().long(), 1.)

@pytest.fixture
def prior(benchmark_script): return benchmark_script("prior")

def test_judged(prior):
    g, classes = torch.Generator().manual_seed(0), list(imagenet_wnids())[:10]
    x = (torch.rand(40, 3, 1, 1, generator=g)*0.9).expand(-1, -1, 4, 4)
    y = (10*x.mean((2, 3))[:, 0]).round().long().clamp_max(9)
    wrong = y.clone()
    wrong[:10] = (y[:10] + 1) % 10
    reals, scores = prior.judged([Judge()], [(x[:20], y[:20]), (x[20:], y[20:])], classes)
    assert scores == {"judge": {"named": 1.}} and reals["judge"].n == 40
    _, scores = prior.judged([Judge()], [(x, wrong)], classes, reals)
    assert scores["judge"]["named"] == 0.75 and abs(scores["judge"]["frechet"]) < 1e-6
    _, scores = prior.judged([Judge()], [((x + 0.1).clamp_max(1), y)], classes, reals)
    assert abs(scores["judge"]["frechet"] - 0.03) < 1e-6                    # three means moved by 0.1 each

def test_samples_have_their_classes(prior):
    "The same z with another class is another picture: the Rhodesian ridgeback is redder than the parachute in its sky."
    G, _, about = read_prior(WEIGHTS/"mini-prior.safetensors")
    dog, sky = about["classes"].index("n02087394"), about["classes"].index("n03888257")
    drawn = {c: torch.cat([x for x, _ in prior.samples(G, torch.full((24,), c), 10)]) for c in (dog, sky)}
    assert drawn[dog].shape == (24, 3, 128, 128) and (drawn[dog] - drawn[sky]).abs().mean() > 0.1
    red, blue = (drawn[c].mean((2, 3)) @ torch.tensor([1., 0., -1.]) for c in (dog, sky))
    assert red.mean() > 0.1 > blue.mean()

def test_the_recorded_table_is_of_these_weights(root):
    recorded = json.loads((root/"figures"/"prior.json").read_text())
    rows = {r["name"]: r for r in recorded["rows"]}
    assert rows["mini-prior"]["weights"] == sha256(WEIGHTS/"mini-prior.safetensors")
    for r in rows.values(): assert {"efficientnet-lite2", "efficientnet-lite0"} < set(r)
    shown = (root/"figures"/"prior.md").read_text()
    assert f"{rows['mini-prior']['efficientnet-lite2']['frechet']:.1f}" in shown
