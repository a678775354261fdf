"The commands of the Makefile, as far as they can be tried without installing anything."
import json, os, re, shutil, subprocess, sys, time

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

def make(*args, cwd): return subprocess.run(["make", *args], cwd=cwd, capture_output=True, text=True)

@pytest.fixture
def copy(root, tmp_path):
    "The Makefile and what its stamps depend on, in a folder whose name has a space."
    folder = tmp_path/"a b"
    folder.mkdir()
    for name in ("Makefile", "settings.ini", "setup.py"): shutil.copy(root/name, folder)
    return folder

def fake_python(folder, version):
    "A program that says it is Python `version`: it runs this Python with another `sys.version_info`."
    program = folder/f"python{version}"
    program.write_text(f"""#!/bin/sh
shift; exec "{sys.executable}" -c "import sys; sys.version_info = ({version.replace('.', ',')}); $1"
""")
    program.chmod(0o755)
    return program

def age(folder, names, seconds):
    "Makes files look as if they had been written so many seconds ago."
    for name in names: os.utime(folder/name, (time.time() - seconds,)*2)

def test_help_lists_the_commands(copy):
    shown = make(cwd=copy).stdout
    for target in ("install", "table1", "figures", "test", "lint", "docs", "readme", "clean"):
        assert f"make {target} " in shown

@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_another_python_is_refused_in_one_sentence(copy, version):
    done = make("test", f"PYTHON='{fake_python(copy, version)}'", cwd=copy)
    assert done.returncode == 2 and "needs Python 3.10, 3.11 or 3.12" in done.stderr and "Traceback" not in done.stderr
    assert not (copy/".venv").exists()

def test_no_python_at_all(copy):
    assert "needs Python 3.10" in make("table1", "PYTHON=/nonexistent/python", cwd=copy).stderr

def test_set_up_happens_once(copy):
    plan = make("-n", "test", cwd=copy).stdout
    assert "venv .venv" in plan and "pip install" in plan and "nbdev_test" in plan
    (copy/".venv/bin").mkdir(parents=True)
    for name in ("bin/pip", "installed", "installed-dev"): (copy/".venv"/name).touch()
    age(copy, ["settings.ini", "setup.py"], 100); age(copy/".venv", ["installed", "installed-dev"], 50)
    for target in ("test", "table1"): assert "pip install" not in make("-n", target, cwd=copy).stdout
    age(copy, ["settings.ini"], 10)
    plan = make("-n", "table1", cwd=copy).stdout
    assert "pip install" in plan and "venv .venv" not in plan

def test_whoever_only_colours_photographs_needs_no_tools_for_development(copy):
    plan = make("-n", "install", cwd=copy).stdout
    assert "pip install" in plan and "[dev]" not in plan and "biggan-colorize colorize PHOTO" in plan

def test_the_site_needs_only_sphinx(copy):
    plan = make("-n", "docs", cwd=copy).stdout
    assert "docs_requirements" in plan and "pip install --quiet -e" not in plan and "-W --keep-going" in plan

@pytest.fixture
def runs(root, copy):
    """`make figures`, with a papermill that only writes down its arguments and $BIGGAN_COLORIZE_DATA → a line of these
    for each run."""
    (copy/".ci").mkdir()
    shutil.copy(root/".ci/figures.sh", copy/".ci")
    (copy/"figures").mkdir()
    (copy/".venv/bin").mkdir(parents=True)
    for name in ("bin/pip", "installed"): (copy/".venv"/name).touch()
    papermill = copy/".venv/bin/papermill"
    papermill.write_text('#!/bin/sh\necho "$BIGGAN_COLORIZE_DATA|$*" >> papermill.log\n')
    papermill.chmod(0o755)
    def runs(*args):
        done = make("figures", *args, cwd=copy)
        assert done.returncode == 0, done.stderr
        lines = (copy/"papermill.log").read_text().splitlines()
        (copy/"papermill.log").unlink()
        return lines
    return runs

def test_small_figures_take_the_notebooks_own_parameters(root, copy, runs):
    lines = runs()
    names = [re.search(r"nbs/experiments/(\w+)\.ipynb", line)[1] for line in lines]
    assert names == ["fig1_inversion", "fig2_framework", "fig3_encoder", "fig4_comparison", "fig5_complex",
                     "resolution_study", "ledger", "ruler"]
    for name, line in zip(names, lines):
        assert (root/f"nbs/experiments/{name}.ipynb").exists()
        assert line == (f"|--no-progress-bar nbs/experiments/{name}.ipynb runs/figures/{name}.ipynb -r out "
                        f"{copy}/runs/figures")

def test_full_figures_are_recorded(copy, runs):
    full = {re.search(r"runs/figures/(\w+)\.ipynb", line)[1]: line for line in runs("DATA=my data")}
    assert len(full) == 9 and all(line.startswith("my data|") and f"-r out {copy}/figures" in line
                                  for line in full.values())
    assert "-p full True" in full["fig1_inversion"] and "-p name fig5_methods" in full["fig5_methods"]
    assert full["ruler"].endswith("-p dataset imagenet-20 -p n_images 5000") and "checkpoint" not in full["ledger"]
    ledger = next(line for line in runs("DATA=d", "CHECKPOINT=a b.ckpt") if "ledger" in line)
    assert ledger.endswith("-p n_large 0 -p checkpoint a b.ckpt")

@pytest.mark.parametrize("source, found", [
    ("a = 1; b = 2", ["a = 1; b = 2"]), ("for i in x: f(i); g(i)", ["for i in x: f(i); g(i)"]), ("f(x);", []),
    ("ax.plot(x); ax.set(title='a')", []), ("s = 'a; b'  # c; d", []), ("!ls; pwd", [])])
def test_semicolons_are_found_except_where_something_is_drawn(root, tmp_path, source, found):
    for name, text in (("a.py", source), ("a.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": source}]}))):
        (tmp_path/name).write_text(text)
        done = subprocess.run([sys.executable, root/".ci/semicolons.py", tmp_path/name], capture_output=True, text=True)
        lines = [line.split(": ", 1)[1] for line in done.stderr.splitlines()[:-1]]
        assert lines == found and done.returncode == bool(found)
