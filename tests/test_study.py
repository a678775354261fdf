"""The feature-resolution study where a notebook cannot follow: run twice through papermill, bad parameters, and
whether the recorded study belongs to the packaged weights."""
import json

import pytest

from biggan_colorize.colorizer import WEIGHTS
from biggan_colorize.study import load_study, parse_members, verdict
from biggan_colorize.provenance import sha256
from biggan_colorize.table import load_table

SMALL = {"n_images": 8, "n_effect": 2, "draws": 2, "groups": 4, "members": "mini-8,mini-32"}
RECORDED = ("figures/study_resolution.csv", "figures/study_resolution.json")

def papermill(run, tmp_path, name, **parameters):
    out = tmp_path/name
    given = [word for k, v in (SMALL | parameters).items() for word in ("-p", k, v)]
    return out, run("papermill", "--no-progress-bar", "nbs/experiments/resolution_study.ipynb",
                    tmp_path/f"{name}.ipynb", "-r", "out", out, *given)

def test_twice_the_same_numbers_and_pixels(run, tmp_path):
    (a, first), (b, second) = (papermill(run, tmp_path, name) for name in ("a", "b"))
    assert first.returncode == 0, first.stderr[-2000:]
    assert second.returncode == 0, second.stderr[-2000:]
    names = sorted(p.name for p in a.iterdir())
    assert names == ["study_resolution.csv", "study_resolution.json", "study_resolution.pdf", "study_resolution.png",
                     "study_z_class.jpg"]
    for name in names:
        if not name.endswith(".json"): assert (a/name).read_bytes() == (b/name).read_bytes(), name
    one, two = (json.loads((d/"study_resolution.json").read_text()) for d in (a, b))
    assert (one["rows"], one["differences"]) == (two["rows"], two["differences"])

@pytest.mark.parametrize("parameters, says", [
    ({"members": "mini-5"}, "The family has no member 'mini-5'; it has mini-z, mini-4"),
    ({"groups": 20}, "20 groups need at least 40 images, got 8"),
    ({"n_effect": 99}, "n_effect is 2 to 8")])
def test_bad_parameters(run, tmp_path, parameters, says):
    out, result = papermill(run, tmp_path, "bad", **parameters)
    assert result.returncode != 0 and says in result.stderr and not out.exists()

@pytest.fixture
def recorded(root):
    "The recorded study."
    if not (root/RECORDED[1]).exists(): pytest.skip("the study has not been recorded with these weights yet")

def test_recorded_study_belongs_to_the_packaged_weights(root, recorded):
    study = load_table(root/RECORDED[1])
    packaged = {name: sha256(WEIGHTS/f"{name}.safetensors") for name in parse_members()}
    assert study["provenance"]["weights"] == packaged, \
        "the packaged family has changed: run nbs/experiments/resolution_study.ipynb in full, as its first cell says"
    assert study["provenance"]["images"] >= 1000 and study["provenance"]["labels"] == "true"
    assert load_study(root/RECORDED[0]) == study["rows"] and verdict(study)

def test_recorded_study_is_found_from_anywhere(run, root, tmp_path, recorded):
    result = run("python", "-c",
                 "from biggan_colorize.study import load_study; print(*[r['member'] for r in load_study()])",
                 cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == parse_members()
