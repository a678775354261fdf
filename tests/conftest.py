"What the tests share: the repository's root, its benchmarks as modules, and a way to run the command in a process of its own."
import importlib.util, os, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture
def root(): return ROOT

@pytest.fixture
def run():
    "Runs a command of this Python's environment; nothing of the caller's datasets is seen."
    def run(*args, cwd=ROOT, **env):
        args = [str(Path(sys.executable).parent/args[0]), *map(str, args[1:])]
        clean = {k: v for k, v in os.environ.items() if k != "BIGGAN_COLORIZE_DATA"}
        return subprocess.run(args, cwd=cwd, env=clean | {"OMP_NUM_THREADS": "1"} | env, capture_output=True, text=True, timeout=300)
    return run

@pytest.fixture
def benchmark_script(monkeypatch):
    "The module in benchmarks/NAME.py."
    def load(name):
        monkeypatch.syspath_prepend(ROOT/"benchmarks")
        spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT/"benchmarks"/f"{name}.py")
        module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
        return module
    return load
