"""What users of software of this kind reported, tried on `evaluate`, eval and the figure notebooks: rows R1, R2, R5,
R8, R11 and R16, and where else their kinds occur."""
import ast, json

import numpy as np
import pytest
import torch
from PIL import Image
from conftest import find_notebook

from biggan_colorize.data import ImageDataset, photo, photo_patches, pil_to_tensor, resize_center_crop, tensor_to_pil
from biggan_colorize.experiment import Experiment
from biggan_colorize.metrics import psnr
from biggan_colorize.outputs import match_folder

SIDE = 128  # of the packaged models' images
WITH_PARAMETERS = ("eval", "fig1_inversion", "fig2_framework", "fig3_encoder", "fig4_comparison", "fig5_complex",
                   "ledger", "resolution_study", "mini_compare")

def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found

def shots(n=4, size=(320, 240)):
    "Pieces of two photographs, wider than high."
    places = [(name, k) for k in range(n) for name in ("coffee", "chelsea")][:n]
    return [photo(name).resize((640, 480)).crop((40*k, 30*k, 40*k + 480, 30*k + 360)).resize(size)
            for name, k in places]

def write(folder, images, suffix=".png", **how):
    "Images as FOLDER/0.png, 1.png, …"
    folder.mkdir(parents=True)
    for k, image in enumerate(images): image.save(folder/f"{k}{suffix}", **how)
    return folder

def dataset(folder): return ImageDataset(sorted(folder.iterdir()), size=SIDE, root=folder)

def scored(outputs, folder, **how):
    "PSNR of outputs that show the very pictures of `folder`."
    images = dataset(folder)
    row = match_folder(outputs, images, **how)
    return psnr(row.read(range(len(images))), torch.stack([x for x, _ in images])).min(), row.note

def center(image):
    side = min(image.size)
    left, top = (image.width - side)//2, (image.height - side)//2
    return image.crop((left, top, left + side, top + side))

def refused(f, *args, **how):
    with pytest.raises(ValueError) as e: f(*args, **how)
    return str(e.value)

@pytest.fixture
def user(run):
    "Runs a command as a user does: the project's own checks are off."
    return lambda *args, **env: run(*args, BIGGAN_COLORIZE_CHECK="", **env)

@pytest.fixture
def papermill(user, root, tmp_path):
    "Runs a notebook with parameters, results in tmp_path/out."
    def papermill(notebook, **parameters):
        parameters = parameters | {"out": str(tmp_path/"out")}
        given = [word for k, v in parameters.items() for word in ("-r" if isinstance(v, str) else "-p", k, v)]
        return user("papermill", "--no-progress-bar", find_notebook(notebook), tmp_path/"run.ipynb", *given)
    return papermill

# R1: numbers that depend on geometry

def test_squeezed_outputs_are_not_scored_as_they_lie(tmp_path):
    originals = write(tmp_path/"in", shots())
    for name, size in (("model", (SIDE, SIDE)), ("instcolor", (256, 256))):
        outputs = write(tmp_path/name, [im.resize(size) for im in shots()])
        said = refused(scored, outputs, originals, resize=True)
        assert "0.png" in said and "its original 320×240" in said
        assert ("-p folder_geometry=squash of biggan-colorize" in said
                and "-p folder_geometry squash of papermill" in said)
        value, note = scored(outputs, originals, geometry="squash")
        assert value > 30 and "4 squeezed to other proportions, which is undone" in note

def test_my_outputs_are_centre_crops(tmp_path):
    pictures = shots(size=(384, 256))
    originals, crops = write(tmp_path/"in", pictures), write(tmp_path/"crops", map(center, pictures))
    value, note = scored(crops, originals, geometry="crop")
    assert value > 40 and "4 centre squares" in note
    # the two cannot be told apart by size
    assert scored(crops, originals, geometry="squash")[0] < value - 10

def test_outputs_of_the_originals_own_size_need_no_flag(tmp_path):
    originals = write(tmp_path/"in", shots())
    best = scored(originals, originals)[0]
    note = "images read from a folder: 4 of the original's size"
    assert scored(write(tmp_path/"mine", shots()), originals) == (best, note)

def test_outputs_of_half_the_size_are_told_how_to_go_on(tmp_path):
    originals, half = write(tmp_path/"in", shots()), write(tmp_path/"half", [im.resize((160, 120)) for im in shots()])
    said = refused(scored, half, originals)
    assert "-p folder_resize=True of biggan-colorize evaluate, -p folder_resize True of papermill" in said
    value, note = scored(half, originals, resize=True)
    assert value > 25 and "4 scaled to another size" in note

def test_my_phone_turns_photographs_by_exif(tmp_path):
    turned = [im.transpose(Image.Transpose.ROTATE_90) for im in shots()]              # stored on their side
    originals = tmp_path/"in"
    originals.mkdir()
    for k, im in enumerate(turned): im.save(originals/f"{k}.jpg", exif=exif(6), quality=98)
    own, value = scored(originals, originals)[0], {}
    for name, how in (("upright", {}), ("stored", {}), ("tagged", dict(exif=exif(6)))):
        upright = [dataset(originals).image(k) for k in range(4)]
        stored = [Image.open(p).convert("RGB") for p in sorted(originals.iterdir())]
        outputs = write(tmp_path/name, upright if name == "upright" else stored, **how)
        value[name], note = scored(outputs, originals)
        assert value[name] == own and ("turned as their originals' EXIF says" in note) == (name == "stored"), name

def test_a_turn_that_sizes_do_not_show_is_in_the_notes(tmp_path):
    square = [im.resize((180, 180)) for im in shots()]
    originals = tmp_path/"in"
    originals.mkdir()
    over = [im.transpose(Image.Transpose.ROTATE_180) for im in square]
    for k, im in enumerate(over): im.save(originals/f"{k}.jpg", exif=exif(3), quality=98)
    upright, stored = write(tmp_path/"upright", square), write(tmp_path/"stored", over)
    value, note = scored(upright, originals)
    assert value > 30 and "4 of originals that EXIF turns, taken as upright" in note
    assert scored(stored, originals)[0] < 20 and scored(stored, originals, geometry="unturned")[0] > 30

def test_transparency_is_laid_on_white_on_both_sides_and_said(tmp_path):
    clear = [im.convert("RGBA") for im in shots()]
    for im in clear: im.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))))
    originals = write(tmp_path/"in", clear)
    value, note = scored(write(tmp_path/"kept", clear), originals)
    assert value == scored(originals, originals)[0] and "4 transparent" in note
    assert "4 transparent" in scored(write(tmp_path/"flat", shots()), originals)[1]

def test_a_folder_of_mixed_geometry_names_the_files(tmp_path):
    originals = write(tmp_path/"in", shots())
    mixed = write(tmp_path/"mixed", [im if k else im.resize((SIDE, SIDE)) for k, im in enumerate(shots())])
    said = refused(scored, mixed, originals, geometry="squash")
    assert "mixes geometries" in said and "1.png (320×240" in said and f"0.png ({SIDE}×{SIDE}" in said

def test_figures_compare_folders_in_the_same_geometry(tmp_path):
    originals = write(tmp_path/"in", shots())
    outputs = write(tmp_path/"squeezed", [im.resize((SIDE, SIDE)) for im in shots()])
    def experiment(**more): return Experiment(f"folder:mine={outputs}", "folder", data=originals, **more)
    assert "folder_geometry" in refused(experiment)
    e = experiment(folder_geometry="squash")
    numbers, x = next(e.batches(4))
    assert psnr(e.colorize("mine", numbers, None), x).min() > 30 and "which is undone" in e.notes("mine")[0]

def test_evaluate_refuses_squeezed_outputs_and_says_what_it_undid(user, tmp_path):
    originals = write(tmp_path/"in", shots())
    outputs, out = write(tmp_path/"squeezed", [im.resize((SIDE, SIDE)) for im in shots()]), tmp_path/"out"
    args = ["biggan-colorize", "evaluate", "folder", "--data", originals, "--methods", f"folder:mine={outputs}", "-o",
            out]
    done = user(*args)
    assert (done.returncode == 2 and "-p folder_geometry=squash" in done.stderr
            and "Traceback" not in done.stderr.rsplit("Error:")[-1])
    done = user(*args, "-p", "folder_geometry=squash")
    row = next(r for r in json.loads((out/"table1.json").read_text())["rows"] if r["method"] == "mine")
    assert done.returncode == 0 and row["psnr"] > 30 and row["ssim"] > 0.95
    assert "4 squeezed to other proportions, which is undone" in done.stdout
    assert "4 not square, of which the centre is taken" in done.stdout                # about the originals

# R2: the tests' assertions in a user's run

def test_only_a_row_of_other_weights(user, tmp_path):
    done = user("biggan-colorize", "evaluate", "photos", "-n", "16", "--methods", "ours:mini-16", "-o", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| Ours, mini-16 |" in done.stdout

@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_no_assertion_runs_in_a_users_notebook(root, name):
    cells = json.loads(find_notebook(name).read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    guarded = lambda s: isinstance(s, ast.If) and "checking()" in ast.unparse(s.test)
    bare = [s for text in code for top in ast.parse(text).body if not guarded(top) for s in ast.walk(top)
            if isinstance(s, ast.Assert)]
    assert not bare, ast.unparse(bare[0])
    assert any("check_parameters()" in text for text in code)

# R5: defaults that refuse ordinary input

def photo_patch_images(n):
    patches = photo_patches(n, SIDE)
    return [tensor_to_pil(patches[k][0]) for k in range(n)]

def test_a_folder_of_three(user, tmp_path):
    originals = write(tmp_path/"in", photo_patch_images(3))
    done = user("biggan-colorize", "evaluate", "folder", "--data", originals, "--methods", "gray", "-o", tmp_path/"out")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "3 images of 128×128 (all of 3; 96 were asked for)" in done.stdout
    assert "a Fréchet distance takes two at least, KID four" in done.stdout

def test_one_photograph(papermill, tmp_path):
    originals = write(tmp_path/"in", photo_patch_images(1))
    done = papermill("eval", dataset="folder", data=str(originals), methods="gray", n_images=20)
    row = json.loads((tmp_path/"out"/"table1.json").read_text())["rows"][0]
    assert done.returncode == 0 and row["n"] == 1 and row["psnr"] > 0
    assert row["frechet"] is row["kid"] is row["psnr_ci"] is None

def test_the_command_and_the_notebook_have_one_number_of_images(root):
    import inspect, papermill
    from biggan_colorize.cli import evaluate_command
    # left out: the notebook's
    assert inspect.signature(evaluate_command).parameters["n_images"].default is None
    assert papermill.inspect_notebook(str(root/"nbs"/"eval.ipynb"))["n_images"]["default"] == "96"

SMALL = {"fig1_inversion": dict(steps=2, restarts=1), "fig2_framework": {},
         "fig4_comparison": dict(methods="gray,mini-32"), "fig5_complex": dict(methods="gray,mini-32"),
         "ledger": dict(n_large=2), "resolution_study": dict(members="mini-8,mini-32", draws=2)}

@pytest.mark.parametrize("name", SMALL)
def test_a_small_folder_of_dull_photographs(papermill, tmp_path, name):
    n = 1 if name == "fig2_framework" else 5 if name in ("resolution_study", "ledger", "fig5_complex") else 2
    originals = write(tmp_path/"in",
                      [Image.blend(im, im.convert("L").convert("RGB"), 0.9) for im in photo_patch_images(n)])
    done = papermill(name, dataset="folder", data=str(originals), **SMALL[name])
    pictures = "*.jpg" if name == "fig4_comparison" else "*.png"
    assert done.returncode == 0 and any((tmp_path/"out").glob(pictures)), done.stderr[-2000:]

def test_the_ledger_misses_its_second_dataset_before_anything_long(papermill, tmp_path):
    done = papermill("ledger", n_images=4, large="imagenet", data=str(tmp_path))
    assert done.returncode != 0 and "Expected ImageNet's val split" in done.stderr
    cells = json.loads((tmp_path/"run.ipynb").read_text(encoding="utf-8"))["cells"]
    long = next(c for c in cells if "".join(c["source"]).startswith("rows = []"))
    assert long["metadata"]["papermill"]["status"] == "pending"

# R8: the product's own outputs

def test_what_colorize_wrote_is_a_folder_row_and_scores_what_was_measured(user, tmp_path):
    from biggan_colorize.colorizer import Colorizer
    model = Colorizer.from_pretrained("mini")
    originals = write(tmp_path/"in", [*shots(2, (300, 200)), *photo_patch_images(2)])
    done = user("biggan-colorize", "colorize", originals, "-o", tmp_path/"ours", "--model", "mini", "--label",
                "golf ball")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path/"ours").glob("*_golf-ball_seed0.png"))) == 4
    images = dataset(originals)
    row, k = match_folder(tmp_path/"ours", images), model.classes.index("n03445777")
    direct = torch.stack([pil_to_tensor(resize_center_crop(model.colorize(images.image(i), k, 0), SIDE))
                          for i in range(4)])
    assert torch.equal(row.read(range(4)), direct) and row.note == "images read from a folder: 4 of the original's size"

def test_a_row_of_our_own_pictures_has_the_numbers_of_ours(user, tmp_path):
    write(tmp_path/"data"/"imagenet"/"val"/"n03445777", photo_patch_images(4))
    args = ["biggan-colorize", "evaluate", "imagenet", "--data", tmp_path/"data", "-o", tmp_path/"out"]
    done = user(*args, "--methods", "gray,ours", "-p", "save_images=True")
    assert done.returncode == 0, done.stderr[-2000:]
    made = tmp_path/"out"/"images"/"Ours"
    for path in sorted(made.rglob("*.png")): path.rename(path.with_name(f"{path.stem}_golf-ball_seed0.png"))
    done = user(*args, "--methods", f"ours,folder:mine={made}")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = {r["method"]: r for r in json.loads((tmp_path/"out"/"table1.json").read_text())["rows"]}
    own = ("n", "frechet", "kid", "colorfulness", "psnr", "ssim", "perceptual")
    assert [rows["mine"][k] for k in own] == [rows["Ours"][k] for k in own]

# R11: settings that are accepted and ignored

def test_a_misspelt_parameter_of_evaluate(user, tmp_path):
    done = user("biggan-colorize", "evaluate", "photos", "-n", "4", "--methods", "gray", "-p", "folder_rezise=True",
                "-o", tmp_path)
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and "There is no parameter 'folder_rezise', close to it folder_resize" in said
    assert not (tmp_path/"table1.md").exists()

@pytest.mark.parametrize("name", [n for n in (*WITH_PARAMETERS, "failures", "photo", "ruler") if n != "mini_compare"])
def test_a_misspelt_parameter_of_papermill(papermill, tmp_path, name):
    done = papermill(name, n_imges=3)
    assert done.returncode != 0 and "There is no parameter 'n_imges'" in done.stderr
    assert not list((tmp_path/"out").glob("*"))

@pytest.mark.parametrize("given, says", [
    (["-p", "out=elsewhere"], "out has an option of its own"),
    (["-p", "folder_resize=True"], "folder_resize and folder_geometry are about rows folder:NAME=PATH"),
    (["--model", "mini-16"], "The preset 'mini-16' colours the row ours"),
    (["--data", "."], "the dataset 'photos' comes with scikit-image")])
def test_settings_that_would_not_be_looked_at(user, tmp_path, given, says):
    done = user("biggan-colorize", "evaluate", "photos", "-n", "4", "--methods", "gray", "-o", tmp_path/"out", *given)
    assert done.returncode == 2 and says in done.stderr.splitlines()[-1]

# R16: one's own numbers come last

def test_my_own_numbers_are_the_last_on_the_screen(user, tmp_path):
    done = user("biggan-colorize", "evaluate", "photos", "-n", "4", "--methods", "gray", "-o", tmp_path)
    assert done.returncode == 0 and done.stdout == (tmp_path/"table1.md").read_text() + "\n"
    assert done.stdout.count("**Measured on") == 1
