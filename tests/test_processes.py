"""Training shared among processes: it is the run of one process; workers may die, two machines may share the work, and
only one process writes."""
import json, os, socket, subprocess, sys

import pytest
import torch

from biggan_colorize.runs import checkpoints, read_log

pytestmark = pytest.mark.skipif(not torch.distributed.is_available() or sys.platform == "win32",
                                reason="torch.distributed with gloo is needed")
ENV = {k: v for k, v in os.environ.items() if k != "BIGGAN_COLORIZE_DATA"}
ENV |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TWO = ["--standalone", "--nproc-per-node", "2"]

# Five steps with the learning rates of the paper. Adam divides a gradient by its size, so a gradient that is zero but
# for rounding makes a step of up to the full learning rate, and rounding differs between one process and two. Such are
# the biases of convolutions in front of a batch norm, which cancels them. With the preset's eps of 1e-6 they are left
# out of the comparison; with 1e-4, above the rounding, nothing is.
STEPS = {"batch": 8, "epochs": 5/32, "lr": 3e-5, "lr_d": 1e-4, "model.dropout": 0., "augment": ""}
CASES = {f"{preset} {eps} {'shared' if shared else 'own'}": (preset, STEPS | {"adam_eps": eps}, shared)
         for preset in ("nano", "nano-prior") for eps, shared in ((1e-4, True), (1e-6, True), (1e-6, False))}

SEVERAL = """
"Each of the cases by two processes, then by the first of them alone; on the way, what goes wrong in process 1 only."
import json, resource, sys, torch, weakref
from contextlib import nullcontext
from biggan_colorize import train
from biggan_colorize.runs import Process, RunOptions, distributed
out, cases = sys.argv[1], json.loads(sys.argv[2])
def run(process, name, preset, settings, shared_statistics):
    train.distributed = lambda device: nullcontext(process)
    options = RunOptions(every=2, save_every=2, shared_statistics=shared_statistics)
    return train.run(preset, out=f"{out}/{name}", settings=settings, options=options)

with distributed("cpu") as process:
    if not process.main:  # from here on it cannot write a byte into any file
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            with open(f"{out}/probe", "w") as f: f.write("x")
            sys.exit("process 1 can write")
        except OSError: pass
    group, trainer = weakref.ref(torch.distributed.group.WORLD), run(process, "calm", "nano", {"epochs": 5/32}, True)

    loss, count = train.encoder_loss, [0]
    def broken(*args):
        count[0] += 1
        return loss(*args) * (float("nan") if count[0] == 4 and not process.main else 1)
    train.encoder_loss = broken
    try: run(process, "nan", "nano", {"epochs": 1}, True)
    except ValueError as e: said = process.gather(str(e))
    train.encoder_loss = loss
    if process.main: json.dump(said, open(f"{out}/said.json", "w"))

    # PyTorch's own batch norm, which one process uses, adds the values of a channel up one by one in float32 when
    # they are channels-last on a CPU; shared statistics do not. Its rounding errors are then some hundred times as
    # large, and turn ReLUs on and off.
    torch.channels_last = torch.contiguous_format
    for name, case in cases.items(): run(process, f"{name} two", *case)
if process.main:
    json.dump(group() is None, open(f"{out}/group ended.json", "w"))  # although there is still a trainer
    for name, case in cases.items():
        if case[2]: run(Process(), f"{name} one", *case)
"""

DEADLY = """
"Process 1 kills itself before step 3, and process 0 after step 3, before its checkpoint; each once."
import os, signal, sys
from pathlib import Path
from biggan_colorize import train
from biggan_colorize.runs import RunOptions
out, step = Path(sys.argv[1]), train.Trainer.step
def die(trainer, rank):
    mark = out/f"died {rank}"
    if trainer.process.rank == rank and trainer.steps == 3 + (rank == 0) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
def deadly(self, x, y):
    die(self, 1)
    losses = step(self, x, y)
    die(self, 0)
    return losses
train.Trainer.step = deadly
options = RunOptions(device="cpu", every=2, save_every=2, shared_statistics=True)
train.run("nano", out=out/"killed", settings={"epochs": 5/32}, options=options)
"""

def launch(options, *args):
    "Starts a program under torch's launcher → the launcher."
    return subprocess.Popen([sys.executable, "-m", "torch.distributed.run", *map(str, [*options, *args])], env=ENV,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

def end(*launchers):
    "Waits for launchers → what they showed."
    texts = [process.communicate(timeout=580)[0] for process in launchers]
    for process, shown in zip(launchers, texts): assert process.returncode == 0, shown[-3000:]
    return "".join(texts)

def last(out): return torch.load(checkpoints(out)[-1], weights_only=True)

def assert_same_run(a, b):
    a_, b_ = last(a), last(b)
    for part in ("model", "D", "ema"):
        for k, v in a_[part].items(): assert torch.equal(v, b_[part][k]), (part, k)
    for opt in ("opt_G", "opt_D"):
        for i, state in a_[opt]["state"].items():
            for k, v in state.items(): assert torch.equal(v, b_[opt]["state"][i][k]), (opt, i, k)
    assert (a/"model.safetensors").read_bytes() == (b/"model.safetensors").read_bytes()
    assert not list(b.glob(".*")), "something half-written is left"

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Where SEVERAL has run."
    out = tmp_path_factory.mktemp("several")
    (out/"several.py").write_text(SEVERAL)
    end(launch(TWO, out/"several.py", out, json.dumps(CASES)))
    return out

def differences(a, b):
    "{name: largest difference} of the parameters of E, G and D."
    return {f"{part}.{k}": (v - b[part][k]).abs().max().item() for part in ("model", "D")
            for k, v in a[part].items() if "stored" not in k and not k.endswith("u0")}

@pytest.mark.parametrize("preset", ["nano", "nano-prior"])
def test_two_processes_are_one(folder, preset):
    "With shared statistics; with its own statistics in each, it is another run."
    def pair(eps, how="shared"):
        return last(folder/f"{preset} {eps} shared one"), last(folder/f"{preset} {eps} {how} two")
    one, two = pair(1e-4)
    assert one["images"] == two["images"] == 40
    assert max(differences(one, two).values()) < 1e-5
    for k, v in one["model"].items():
        if "stored" in k: torch.testing.assert_close(v, two["model"][k], atol=1e-5, rtol=1e-5)
    without_biases = {k: v for k, v in differences(*pair(1e-6)).items()
                      if not (k.startswith("model") and "conv" in k and k.endswith("bias"))}
    assert max(without_biases.values()) < 1e-5 and len(without_biases) > 40
    own = torch.tensor(list(differences(*pair(1e-6, "own")).values()))
    assert own.max() > 1e-4 and own.median() > 1e-5
    logs = [read_log(folder/f"{preset} {1e-4} shared {name}"/"log.csv") for name in ("one", "two")]
    for a, b in zip(*logs, strict=True):
        assert a["images"] == b["images"] and abs(a["D"] - b["D"]) < 1e-4 and abs(a["G"] - b["G"]) < 1e-4

def test_only_the_first_process_writes(folder):
    "Process 1 could not write a byte; nothing is missing, and nothing is there twice."
    out = folder/"calm"
    assert [p.name for p in sorted(out.iterdir())] == ["checkpoint_0000000032.pt", "checkpoint_0000000040.pt",
                                                       "log.csv", "model.json", "model.safetensors", "preset.json"]
    assert [r["images"] for r in read_log(out/"log.csv")] == [16, 32]

def test_a_loss_that_is_not_a_number_in_one_process_stops_both(folder):
    said = json.loads((folder/"said.json").read_text())
    assert len(said) == 2 and said[0] == said[1] and said[0].startswith("At step 3 a loss is no longer a number"), said
    assert last(folder/"nan")["images"] == 16 and not (folder/"nan/model.safetensors").exists()

def test_the_group_ends_with_its_block(folder):
    "Else its threads would live on while Python shuts down, which aborts a process now and then."
    assert json.loads((folder/"group ended.json").read_text())

def test_workers_die(folder):
    """Each of the two once; the launcher starts them again, from the last checkpoint, and the end is that of the
    undisturbed run."""
    (folder/"deadly.py").write_text(DEADLY)
    end(launch([*TWO, "--max-restarts", "2"], folder/"deadly.py", folder))
    assert (folder/"died 0").exists() and (folder/"died 1").exists(), "nobody was killed"
    assert_same_run(folder/"calm", folder/"killed")

def test_two_machines_share_a_run(folder):
    "As the notebook starts it: two agents that meet at a port."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    agent = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}",
             "--rdzv-id", "test", "--local-addr", "127.0.0.1"]
    train = ["-m", "biggan_colorize", "train", "nano", "--out", folder/"machines", "--set", f"epochs={5/32}",
             "--save-every", 2, "--shared-statistics", "--device", "cpu"]
    shown = end(*[launch(agent, *train) for _ in range(2)])
    assert shown.count("Checkpoints, log and weights are in") == 1
    assert [p.name for p in checkpoints(folder/"machines")] == [p.name for p in checkpoints(folder/"calm")]
    a, b = last(folder/"calm"), last(folder/"machines")
    for part in ("model", "D", "ema"):
        for k, v in a[part].items(): assert torch.equal(v, b[part][k]), (part, k)

def test_a_batch_that_cannot_be_shared(tmp_path):
    process = launch(TWO, "-m", "biggan_colorize", "train", "nano", "--out", tmp_path/"out", "--set", "batch=7",
                     "--device", "cpu")
    shown, _ = process.communicate(timeout=580)
    assert process.returncode != 0 and "Error: A batch of 7 images cannot be shared equally by 2 processes." in shown

SCORING = """
"Two methods scored by the processes together, batch by batch, and by the first of them alone."
import dataclasses, json, sys
from torch.nn import functional as F
from biggan_colorize.data import loader, photo_patches
from biggan_colorize.metrics import Scorer
from biggan_colorize.runs import Process, distributed
class Thumbnail:
    name, dim, precision = "thumbnail", 12, "float32"
    def frechet_features(self, x): return F.adaptive_avg_pool2d(x, 2).flatten(1)
def scores(process):
    gray = Scorer(Thumbnail(), None, keep=30, subsets=5)
    half = Scorer(Thumbnail(), None, real=gray.real, keep=30, subsets=5)
    for k, (x, _) in enumerate(loader(photo_patches(50), 8)):
        if k % process.world_size != process.rank: continue
        for s, part in ((gray, 0), (half, .5)):
            s.update(x*part + x.mean(1, keepdim=True)*(1 - part), x, range(8*k, 8*k + len(x)))
    return [dataclasses.asdict(s.gather(process).result()) for s in (gray, half)]
with distributed("cpu") as process:
    both = process.gather(scores(process))
    if process.main: json.dump([*both, scores(Process())], open(sys.argv[1], "w"))
"""

def test_scoring_shared_by_two_processes_gives_the_numbers_of_one(tmp_path):
    (tmp_path/"scoring.py").write_text(SCORING)
    end(launch(TWO, tmp_path/"scoring.py", tmp_path/"scores.json"))
    first, second, alone = json.loads((tmp_path/"scores.json").read_text())
    for shared in (first, second):
        for a, b in zip(shared, alone, strict=True):
            assert a["n"] == 50 and a["frechet"] > 0 and a["frechet_ci"] > 0 and a["kid"] > 0
            for k, v in b.items():
                if k != "seconds":
                    assert a[k] == (pytest.approx(v, rel=1e-6, abs=1e-9) if isinstance(v, float) else v), k
