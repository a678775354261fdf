"""The figure notebooks as a reader runs them: by papermill, from the repository's root and from nbs/, twice the same;
and with what cannot work."""
from conftest import find_notebook
import pytest
from PIL import Image

SMALL = {"fig2_framework": {}, "fig3_encoder": {}, "fig4_comparison": dict(methods="gray,mini-32,mini-z", n_images=2),
         "fig5_complex": dict(methods="gray,mini-32", n_images=12, n_perceptual=4, bins=2, n_shown=3)}
PHOTOGRAPHS, SUFFIXES = ("fig4_comparison", "fig5_complex"), (".jpg", ".png", ".pdf")

def papermill(run, root, notebook, out, cwd, seed="1", **parameters):
    "Runs a figure notebook into `out`; strings are hashed in another order each time."
    parameters = parameters | {"out": str(out)}
    given = [word for k, v in parameters.items() for word in ("-p" if isinstance(v, int) else "-r", k, v)]
    return run("papermill", "--no-progress-bar", find_notebook(notebook), out.with_suffix(".ipynb"), *given, cwd=cwd,
               PYTHONHASHSEED=seed)

@pytest.mark.parametrize("notebook", SMALL)
def test_twice_the_same_files_from_the_root_and_from_nbs(run, root, tmp_path, notebook):
    done = [papermill(run, root, notebook, tmp_path/f"out{k}", cwd, seed=str(k + 1), **SMALL[notebook])
            for k, cwd in enumerate((root, root/"nbs"))]
    assert all(d.returncode == 0 for d in done), done[0].stderr[-2000:] + done[1].stderr[-2000:]
    first, second = ({p.name: p.read_bytes() for p in (tmp_path/f"out{k}").iterdir()} for k in (0, 1))
    pictures = {f"{notebook}.jpg"} if notebook in PHOTOGRAPHS else {f"{notebook}.png", f"{notebook}.pdf"}
    assert pictures == {name for name in first if name.startswith(f"{notebook}.") and name[-4:] in SUFFIXES}
    assert set(first) == set(second)
    assert not [name for name in first if first[name] != second[name]]
    assert not [name for name in first if name.startswith(".")]                      # nothing half-written is left

BAD = {"deoldyfy": ("fig4_comparison", dict(methods="gray,deoldyfy"), "Unknown method 'deoldyfy'; known: gray, "),
       "folder": ("fig5_complex", dict(methods="gray,folder:Mine=nowhere"), "folder of images at nowhere"),
       "small": ("fig4_comparison", dict(dataset="folder", n_images=1, min_colorfulness=0),
                 "least 128×128 pixels; smaller: little (40×30)"),
       "number": ("fig2_framework", dict(image=100000), "has images 0 to"),
       "preset": ("fig3_encoder", dict(preset="maxi"), "No weights 'maxi'")}

@pytest.mark.parametrize("case", BAD)
def test_what_cannot_work_is_one_sentence(run, root, tmp_path, case):
    notebook, parameters, words = BAD[case]
    if parameters.get("dataset") == "folder":
        (tmp_path/"images").mkdir()
        Image.new("RGB", (40, 30), "red").save(tmp_path/"images"/"little.png")
        parameters = parameters | {"data": str(tmp_path/"images")}
    done = papermill(run, root, notebook, tmp_path/"out", root, **parameters)
    assert done.returncode != 0 and words in done.stderr, done.stderr[-2000:]
    # it fails before anything is drawn
    assert not [p for p in (tmp_path/"out").glob("*") if p.suffix in SUFFIXES]
