"Training shared among processes: it is the run of one process; a worker may die, and two machines may share the work."
import json, os, socket, subprocess, sys

import pytest
import torch

from biggan_colorize.runs import checkpoints, read_log
from biggan_colorize.train import run

pytestmark = pytest.mark.skipif(not torch.distributed.is_available() or sys.platform == "win32", reason="torch.distributed with gloo is needed")
STEPS = {"batch": 8, "lr": 3e-5, "lr_d": 1e-4, "epochs": 5/32 + 1e-6, "adam_eps": 1e-3, "model.dropout": 0., "augment": ""}
# Five steps with the learning rates of the paper. Where a gradient is zero but for rounding (a bias in front of a batch norm), the usual eps of 1e-8 lets Adam
# make steps of full size from the rounding errors, which differ between one process and two; 1e-3 does not.
ENV = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

PROGRAM = """
import json, os, signal, sys
from biggan_colorize import train
args, die = json.loads(sys.argv[1]), sys.argv[2]
step = train.Trainer.step
def deadly(self, x, y):
    "Process 1 kills itself in front of step 3, once."
    if die and self.steps == 3 and self.process.rank == 1 and not os.path.exists(die):
        open(die, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, x, y)
train.Trainer.step = deadly
if __name__ == "__main__": train.run(**args)
"""

@pytest.fixture(scope="module", autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)

@pytest.fixture
def launch(tmp_path):
    "Starts `train.run` under torch's launcher → the process of the launcher."
    (tmp_path/"program.py").write_text(PROGRAM)
    def launch(options, die="", **args):
        return subprocess.Popen([sys.executable, "-m", "torch.distributed.run", *options, tmp_path/"program.py", json.dumps(args), str(die)],
                                env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return launch

def end(*launchers):
    for process in launchers:
        shown, _ = process.communicate(timeout=280)
        assert process.returncode == 0, shown[-3000:]

TWO = ["--standalone", "--nproc-per-node", "2"]

def last(out): return torch.load(checkpoints(out)[-1], weights_only=True)

def furthest(a, b):
    "Largest difference of any parameter of E, G and D."
    return max((v - b[part][k]).abs().max().item() for part in ("model", "D") for k, v in a[part].items() if "stored" not in k and not k.endswith("u0"))

def arguments(preset, out, **more):
    return dict(preset=preset, out=str(out), settings=STEPS, device="cpu", every=1, save_every=1, keep=10) | more

@pytest.mark.parametrize("preset", ["nano", "nano-prior"])
def test_two_processes_are_one(launch, tmp_path, preset):
    "With shared statistics; each on its own statistics is another run."
    one = run(**arguments(preset, tmp_path/"one"))
    assert one.steps == 5
    end(launch(TWO, **arguments(preset, tmp_path/"two", shared_statistics=True)))
    end(launch(TWO, **arguments(preset, tmp_path/"apart")))
    one, two, apart = (last(tmp_path/name) for name in ("one", "two", "apart"))
    assert one["images"] == two["images"] == 40
    assert furthest(one, two) < 1e-5 < furthest(one, apart)
    for k, v in one["model"].items():
        if "stored" in k: torch.testing.assert_close(v, two["model"][k], atol=1e-4, rtol=1e-4)
    logs = [read_log(tmp_path/name/"log.csv") for name in ("one", "two")]
    assert [r["images"] for r in logs[0]] == [r["images"] for r in logs[1]] == [8, 16, 24, 32, 40]     # one row an interval, whoever computed it
    for a, b in zip(*logs): assert abs(a["D"] - b["D"]) < 1e-4 and abs(a["G"] - b["G"]) < 1e-4

def test_a_worker_dies_and_two_machines_share(launch, tmp_path):
    "Three ways to the same weights: undisturbed, with a worker killed and restarted, and as two agents that meet at a port."
    end(launch(TWO, **arguments("nano", tmp_path/"calm")))
    end(launch([*TWO, "--max-restarts", "1"], die=tmp_path/"died", **arguments("nano", tmp_path/"killed")))
    assert (tmp_path/"died").exists(), "nobody was killed"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    nodes = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    end(*[launch([*nodes, "--local-addr", "127.0.0.1"], **arguments("nano", tmp_path/"nodes")) for _ in range(2)])
    calm = last(tmp_path/"calm")
    for name in ("killed", "nodes"):
        other = last(tmp_path/name)
        for part in ("model", "D", "ema"):
            for k, v in calm[part].items(): assert torch.equal(v, other[part][k]), (name, part, k)
        assert not list((tmp_path/name).glob(".*")), "something half-written is left"

def test_a_batch_that_cannot_be_shared(launch, tmp_path):
    process = launch(TWO, **arguments("nano", tmp_path/"out", settings=STEPS | {"batch": 7}))
    shown, _ = process.communicate(timeout=280)
    assert process.returncode != 0 and "A batch of 7 images cannot be shared equally by 2 processes." in shown
