"What the tests share: the repository's root, its benchmarks as modules, a tiny model, and ways to run the command."
import importlib.util, os, subprocess, sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent

def find_notebook(name):
    "The path of a notebook, in whatever part it lies."
    return next((ROOT/"nbs").rglob(f"{name}.ipynb"))

@pytest.fixture
def root(): return ROOT

@pytest.fixture
def run():
    "Runs a command of this Python's environment; nothing of the caller's datasets is seen."
    def run(*args, cwd=ROOT, **env):
        args = [str(Path(sys.executable).parent/args[0]), *map(str, args[1:])]
        clean = {k: v for k, v in os.environ.items() if k != "BIGGAN_COLORIZE_DATA"}
        return subprocess.run(args, cwd=cwd, env=clean | {"OMP_NUM_THREADS": "1"} | env, capture_output=True, text=True,
                              timeout=300)
    return run

@pytest.fixture(scope="session")
def nano(tmp_path_factory):
    "Weights of a model too small to paint well, but real; its classes are tabby, electric guitar and banana."
    from biggan_colorize.colorizer import Colorizer, ColorizerConfig
    cfg = ColorizerConfig(resolution=32, feature_resolution=8, ch=2, encoder_ch=2, dim_z=8, shared_dim=4, n_classes=3,
                          attention=16)
    path = tmp_path_factory.mktemp("weights")/"nano.safetensors"
    Colorizer(cfg, ["n02123045", "n03272010", "n07753592"]).eval().save(path)
    return path

@pytest.fixture
def quick():
    "Runs the command inside this process, which saves seconds."
    from typer.testing import CliRunner
    from biggan_colorize.cli import app
    def quick(command, *args):
        done = CliRunner().invoke(app, [str(a) for a in args])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)
    return quick

@pytest.fixture
def benchmark_script(monkeypatch):
    "The module in benchmarks/NAME.py."
    def load(name):
        monkeypatch.syspath_prepend(ROOT/"benchmarks")
        spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT/"benchmarks"/f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return load
