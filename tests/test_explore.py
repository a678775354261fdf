"""The explorer's results outside of a notebook: the command line repeats them pixel by pixel, and an installed package
without the repository's figures works."""
import io, json, subprocess, sys
from importlib import resources

import numpy as np
import pytest
import skimage.data
from PIL import Image

from biggan_colorize.explore import MAX_UPLOAD, Explorer, in_the_page, study_html, study_rows

CAT = Image.fromarray(skimage.data.chelsea())

@pytest.fixture
def saved(tmp_path):
    "What the explorer's button saves after some knobs were turned: (picture, recipe)."
    exif = Image.Exif()
    exif[0x0112] = 8
    CAT.convert("L").save(tmp_path/"my cat.jpg", exif=exif)
    view = Explorer(tmp_path/"my cat.jpg", folder=tmp_path/"saved")
    for name, value in dict(resolution=8, label="mixed", seed=11, truncation=0.7, lightness="linear100",
                            gamut="clip").items():
        getattr(view, name).value = value
    view.save.click()
    assert "Saved" in view.status.value, view.status.value
    return tmp_path/"saved"/"my cat.png", tmp_path/"saved"/"my cat.json"

def test_the_command_line_makes_the_same_pixels(run, saved, tmp_path):
    picture, recipe = saved
    done = run("biggan-colorize", "colorize", "--from-json", recipe, "-o", tmp_path/"again", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(done.stdout.splitlines()[0])["pictures"][0]["path"]
    a, b = (np.asarray(Image.open(p)) for p in (picture, again))
    assert a.shape == (451, 300, 3) and np.array_equal(a, b)  # upright
    other = json.loads(recipe.read_text()) | {"seed": 12}
    recipe.write_text(json.dumps(other))
    done = run("biggan-colorize", "colorize", "--from-json", recipe, "-o", tmp_path/"other", "--json")
    assert not np.array_equal(a, np.asarray(Image.open(json.loads(done.stdout.splitlines()[0])["pictures"][0]["path"])))

def test_a_recipe_of_another_photograph_or_other_weights_is_refused(run, saved, tmp_path):
    picture, recipe = saved
    about = json.loads(recipe.read_text())
    CAT.save(tmp_path/"other.png")
    for changed, photo, says in (({}, [tmp_path/"other.png"], "not the photograph"),
                                 ({"weights_sha256": "0"}, [], "would be another"),
                                 ({"photo": "gone.jpg"}, [], "not at"), ({"model": "gone"}, [], "not there"),
                                 ({"bogus": 1}, [], "bogus")):
        recipe.write_text(json.dumps(about | changed))
        done = run("biggan-colorize", "colorize", *photo, "--from-json", recipe, "-o", tmp_path/"none")
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path/"none").exists()

def test_without_the_repository_there_is_no_curve_and_no_error(tmp_path, monkeypatch):
    import biggan_colorize.provenance
    monkeypatch.setattr(biggan_colorize.provenance, "repository", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    assert study_rows() == [] and study_html(16, []) == ""
    view = Explorer(CAT)
    assert view.curves.value == "" and 'data-picture="result"' in view.now.value and not (tmp_path/"explored").exists()

def test_a_large_photograph_is_reduced_first(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (6000, 4000), 90).save(buffer, "PNG")
    (tmp_path/"large.png").write_bytes(buffer.getvalue())
    view = Explorer(tmp_path/"large.png")
    assert "6000 × 4000 pixels, shown at 384 × 256" in view.status.value
    assert max(i.width for i in view.images.values()) == 384

def test_sizes_that_nobody_expects(tmp_path):
    for size in ((1, 1), (1, 4000), (4000, 1), (17, 3)):
        CAT.resize(size).save(tmp_path/"odd.png")
        view = Explorer(tmp_path/"odd.png")
        assert "alert" not in view.status.value and f"{size[0]} × {size[1]}" in view.status.value

def test_an_installed_package_has_what_the_page_needs(root, tmp_path):
    subprocess.run([sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path], cwd=root, check=True,
                   capture_output=True)
    built = tmp_path/"biggan_colorize"
    assert (built/"explore.js").read_text() == (root/"biggan_colorize"/"explore.js").read_text()
    assert (built/"imagenet_wnids.txt").is_file() and (built/"weights"/"photo.safetensors").is_file()

def test_the_script_of_the_page_is_one_attribute():
    from html.parser import HTMLParser
    found = []
    parser = HTMLParser(); parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(in_the_page())
    assert len(found) == 1 and found[0][0] == "img" and found[0][1]["data-max-upload"] == str(MAX_UPLOAD)
    assert found[0][1]["onerror"] == resources.files("biggan_colorize").joinpath("explore.js").read_text()
