"The two commands of the Makefile, as far as they can be tried without installing anything."
import os, shutil, subprocess, sys, time

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
    for target in ("install", "table1", "test", "readme", "clean"): assert f"make {target}" in shown

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
