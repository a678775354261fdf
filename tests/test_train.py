"""Training in processes of their own: killed at any moment, on a full disk, with wrong input; it goes on as if nothing
had happened, or says why not in one sentence."""
import multiprocessing, os, random, re, shutil, signal, sys, time
from multiprocessing.forkserver import _forkserver
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from biggan_colorize.family import Plan, Run, train_family
from biggan_colorize.runs import RunOptions, checkpoints

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork do not exist on Windows")
# its children have imported all there is, so that each starts in no time
FORKS = multiprocessing.get_context("forkserver")

@pytest.fixture(scope="module", autouse=True)
def fresh_forkserver(tmp_path_factory):
    "Children that use one thread and no GPU, and see none of the caller's datasets."
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dict(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="",
                                XDG_CACHE_HOME=str(tmp_path_factory.mktemp("cache"))).items():
            patch.setenv(name, value)
        patch.delenv("BIGGAN_COLORIZE_DATA", raising=False)
        _forkserver._stop()  # of an earlier test file
        FORKS.set_forkserver_preload(["biggan_colorize.train", "biggan_colorize.cli", "skimage.data", "pytest"])
        FORKS.Process(target=os.getpid).start()  # now it imports
        yield
        _forkserver._stop()

# ---- what the children do

def show_in(pipe):
    for stream in (1, 2): os.dup2(pipe.fileno(), stream)

def command(args, shown):
    "The command `biggan-colorize train`, with a row of the log every other step, and what it shows in a pipe."
    show_in(shown)
    from biggan_colorize import cli, train
    run = train.run
    train.run = lambda *args, options: run(*args, options=replace(options, every=2))
    sys.argv[1:] = ["train", *map(str, args)]
    cli.app()

def before_step(act):
    "Has `act(trainer)` called in front of every step."
    from biggan_colorize.train import Trainer
    step = Trainer.step
    def both(self, x, y): act(self); return step(self, x, y)
    Trainer.step = both

def told(args, pipe):
    "`train.run` that sends the number of each step when it begins."
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    before_step(lambda trainer: pipe.send(trainer.steps))
    from biggan_colorize.train import run
    run(**args)

def small_disk(at, room, deadly, args, shown):
    """The command, when no file can grow beyond `room` bytes from step number `at` on, or from the beginning. What is
    written further fails, or, if `deadly`, the kernel ends the process in the middle of the file, as SIGKILL would:
    by a signal that Python ignores and that has its default action here."""
    import resource
    def limit():
        if deadly:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    if at: before_step(lambda trainer: trainer.steps == at and limit())
    else: limit()
    command(args, shown)

def killed_in_replace(name, nth, args, shown):
    """`train.run` that is killed when a file of this name has been written for the nth time and is about to get its
    name."""
    show_in(shown)
    from biggan_colorize import train
    replace, count = os.replace, [0]
    def deadly(part, path):
        count[0] += Path(path).name == name
        if count[0] == nth: os.kill(os.getpid(), signal.SIGKILL)
        replace(part, path)
    os.replace = deadly
    train.run(**args)

def not_a_number(at, args, shown):
    "The command, when the loss of step number `at` is NaN."
    from biggan_colorize import train
    loss, now = train.encoder_loss, []
    before_step(lambda trainer: now.append(trainer.steps))
    train.encoder_loss = lambda *a: loss(*a) * (float("nan") if now[-1] == at else 1)
    command(args, shown)

# ---- and how they are watched

def start(f, *args):
    "Starts a child, whose last argument is a pipe → the child, and the other end of the pipe."
    receive, send = FORKS.Pipe(False)
    process = FORKS.Process(target=f, args=(*args, send), daemon=True)
    process.start()
    send.close()
    return process, receive

def finish(f, *args):
    "Exit status of a child and what it showed."
    process, pipe = start(f, *args)
    shown = b""
    while part := os.read(pipe.fileno(), 2**16): shown += part
    process.join()
    return process.exitcode, shown.decode()

def steps_of(args):
    "Runs to the end and returns when each step began: {step: time}."
    process, pipe = start(told, args)
    moments = {}
    try:
        while True: moments[pipe.recv()] = time.time()
    except EOFError: process.join()
    assert process.exitcode == 0
    return moments

def same(a, b):
    "Whether two nests of dicts, lists and tensors are equal to the bit."
    if isinstance(a, torch.Tensor): return torch.equal(a, b)
    if isinstance(a, dict): return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(same, a, b))
    return a == b

def load(path): return torch.load(path, weights_only=True)
def log_without_seconds(out):
    return [row.split(",")[:2] + row.split(",")[3:] for row in (out/"log.csv").read_text().splitlines()]
def half_written(out): return [p for p in Path(out).rglob(".*")]

def assert_same_run(a, b):
    "Every part of the last checkpoint, the weights and the log of two folders agree, and nothing half-written is left."
    assert [p.name for p in checkpoints(a)] == [p.name for p in checkpoints(b)]
    ours, theirs = load(checkpoints(a)[-1]), load(checkpoints(b)[-1])
    assert {"model", "ema", "D", "opt_G", "opt_D", "images"} <= set(ours) == set(theirs)
    for part in ours: assert same(ours[part], theirs[part]), part
    assert (a/"model.safetensors").read_bytes() == (b/"model.safetensors").read_bytes()
    assert log_without_seconds(a) == log_without_seconds(b) and len(log_without_seconds(a)) > 2
    assert not half_written(a) and not half_written(b)

SHORT = ["nano", "--set", "epochs=0.25", "--save-every", 2]  # 8 steps; below, the same for `run`
short = dict(preset="nano", settings={"epochs": 0.25}, options=RunOptions(device="cpu", every=2, save_every=2))

@pytest.fixture(scope="module")
def whole(fresh_forkserver, tmp_path_factory):
    "The folder of a run of SHORT that nobody disturbed."
    out = tmp_path_factory.mktemp("whole")
    code, shown = finish(command, [*SHORT, "-o", out])
    assert code == 0 and "Checkpoints, log and weights are in" in shown
    return out

# ---- killed

def test_killed_at_twenty_random_moments(tmp_path):
    args = dict(preset="nano", settings={"batch": 4, "epochs": 2},  # 128 steps
                options=RunOptions(device="cpu", every=3, save_every=2))
    began = time.time()
    moments = steps_of(args | {"out": tmp_path/"whole"})
    setup, pace = moments[0] - began, (moments[127] - moments[0]) / 127
    rnd, firsts = random.Random(0), []
    # Somewhere in a step or before the first; never later than the next begins, so that no machine is done before the
    # last kill.
    for _ in range(20):
        process, pipe = start(told, args | {"out": tmp_path/"killed"})
        k, part = rnd.randrange(5), rnd.random()
        firsts += [pipe.recv() for _ in range(k)][:1]
        pipe.poll(part * (pace if k else setup))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
    last = steps_of(args | {"out": tmp_path/"killed"})
    firsts.append(min(last))
    assert firsts == sorted(firsts) and len(set(firsts)) > 5 and max(last) == 127, f"it began again at {firsts}"
    assert_same_run(tmp_path/"whole", tmp_path/"killed")

def test_killed_while_a_checkpoint_is_written(whole, tmp_path):
    assert finish(small_disk, 5, 100_000, True, [*SHORT, "-o", tmp_path])[0] == -signal.SIGXFSZ
    sizes = [p.stat().st_size for p in half_written(tmp_path)]
    assert sizes == [100_000], "it was to be killed in the middle of the file"
    assert [load(p)["images"] for p in checkpoints(tmp_path)] == [16, 32]
    assert min(steps_of(short | {"out": tmp_path})) == 4, "more than the steps since the last checkpoint were lost"
    assert_same_run(whole, tmp_path)

@pytest.mark.parametrize("name, nth", [("preset.json", 1), ("log.csv", 2), ("0000000016.png", 1),
                                       ("0000000032.safetensors", 1), ("model.safetensors", 1)])
def test_killed_while_another_file_is_written(whole, tmp_path, name, nth):
    args = short | dict(options=replace(short["options"], sample_every=2, snapshot_every=4), out=tmp_path)
    assert finish(killed_in_replace, name, nth, args)[0] == -signal.SIGKILL
    assert half_written(tmp_path), "it was to be killed while the file had no name yet"
    assert finish(command, [*SHORT, "-o", tmp_path])[0] == 0
    assert_same_run(whole, tmp_path)

# ---- a full disk

def one_sentence(code, shown, said):
    "Whether the command ended with one sentence, in front of which there may be a progress bar."
    *before, last = shown.splitlines()
    clean = not re.search("Error|Traceback|Warning", "".join(before))
    return code == 2 and last.startswith("Error: ") and said in last and clean

def test_disk_full_at_a_checkpoint(whole, tmp_path):
    code, shown = finish(small_disk, 5, 100_000, False, [*SHORT, "-o", tmp_path])
    assert one_sentence(code, shown, f"{tmp_path}/checkpoint_0000000048.pt could not be written"), shown
    assert [load(p)["images"] for p in checkpoints(tmp_path)] == [16, 32] and not half_written(tmp_path)
    assert finish(command, [*SHORT, "-o", tmp_path])[0] == 0
    assert_same_run(whole, tmp_path)

@pytest.mark.parametrize("at, room, name",
                         [(0, 0, "preset.json"), (5, 20, "log.csv"), (0, 10_000, "model.safetensors")])
def test_disk_full_at_another_file(whole, tmp_path, at, room, name):
    out = tmp_path/"out"
    if name == "model.safetensors":  # the run is over but for the weights
        shutil.copytree(whole, out)
        (out/name).unlink()
    code, shown = finish(small_disk, at, room, False, [*SHORT, "-o", out])
    assert one_sentence(code, shown, f"{out/name}"), shown
    assert not half_written(out)
    assert finish(command, [*SHORT, "-o", out])[0] == 0
    assert_same_run(whole, out)

# ---- bad input

WRONG = {
    "no such preset": (["tiny"], "There is no preset 'tiny'"),
    "no such setting": (["nano", "--set", "bogus=1"], "no setting 'bogus'"),
    "no such part of a setting": (["nano", "--set", "model.bogus=1"], "no setting 'bogus'"),
    "not a setting": (["nano", "--set", "lr"], "key=value"),
    "not a number": (["nano", "--set", "lr=high"], "Expected lr as float"),
    "no data": (["paper"], "Expected ImageNet's train split at"),
    "wrong folder": (["mini", "--data", "nowhere"], "nowhere"),
    "empty folder": (["nano", "--set", "dataset=folder", "--data", "empty"], "holds no image"),
    "too few images": (["nano", "--set", "batch=512"], "256 images are fewer than one batch of 512"),
    "other classes": (["nano", "--set", "model.n_classes=3"], "set model.n_classes to 1"),
    "no such prior": (["nano", "--set", "prior=nowhere"], "There is no prior 'nowhere'"),
    "no such augmentation": (["nano", "--set", "augment=mirror"], "There is no augmentation 'mirror'"),
    "no such perceptual loss": (["nano", "--set", "perceptual=bogus", "--set", "loss.perceptual=1"], "bogus"),
}

@pytest.mark.parametrize("args, said", WRONG.values(), ids=WRONG)
def test_bad_input_is_one_sentence(tmp_path, args, said):
    (tmp_path/"empty").mkdir()
    args = [tmp_path/a if a in ("empty", "nowhere") else a for a in args]
    code, shown = finish(command, [*args, "-o", tmp_path/"out"])
    assert one_sentence(code, shown, said) and (shown.count("\n") == 1 or "augment" in said), shown
    assert not checkpoints(tmp_path/"out") and not half_written(tmp_path)

def test_the_installed_command_says_it_too(run, tmp_path):
    done = run("biggan-colorize", "train", "tiny", "-o", tmp_path/"out", cwd=tmp_path)
    assert (done.returncode == 2 and done.stderr.startswith("Error: There is no preset 'tiny'")
            and done.stderr.count("\n") == 1)
    assert not (tmp_path/"out").exists()

def test_output_that_is_a_file(tmp_path):
    (tmp_path/"out").write_text("mine")
    code, shown = finish(command, ["nano", "-o", tmp_path/"out"])
    assert one_sentence(code, shown, f"{tmp_path}/out"), shown
    assert (tmp_path/"out").read_text() == "mine"

def test_checkpoint_of_another_preset(whole, tmp_path):
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    code, shown = finish(command, [*SHORT, "--set", "batch=4", "-o", whole])
    after = {p.name: p.read_bytes() for p in whole.iterdir()}
    (whole/"preset.json").write_bytes(before["preset.json"])  # for the other tests
    assert one_sentence(code, shown, "is of another preset: batch is 8 there and 4 here"), shown
    assert before.keys() == after.keys()
    for name in before: assert before[name] == after[name], f"{name} was changed"

def test_damaged_checkpoint(whole, tmp_path):
    out = tmp_path/"out"
    shutil.copytree(whole, out)
    last = checkpoints(out)[-1]
    last.write_bytes(last.read_bytes()[:10_000])
    code, shown = finish(command, [*SHORT, "-o", out])
    assert one_sentence(code, shown, f"{last} cannot be read as a checkpoint"), shown
    last.unlink()  # as the sentence says
    assert finish(command, [*SHORT, "-o", out])[0] == 0
    assert_same_run(whole, out)

def test_loss_that_is_not_a_number(whole, tmp_path):
    code, shown = finish(not_a_number, 5, [*SHORT, "-o", tmp_path])
    assert one_sentence(code, shown, "At step 5 a loss is no longer a number"), shown
    assert [load(p)["images"] for p in checkpoints(tmp_path)] == [16, 32] and not half_written(tmp_path)
    assert finish(command, [*SHORT, "-o", tmp_path])[0] == 0  # from the last good one
    assert_same_run(whole, tmp_path)

def test_images_that_cannot_be_decoded(tmp_path):
    photos = tmp_path/"photos"
    photos.mkdir()
    for k in range(8): Image.new("RGB", (40, 40), (30 * k, 90, 200)).save(photos/f"{k}.png")
    (photos/"5x.jpg").write_bytes(b"not a photograph")
    settings = ["--set", "dataset=folder", "--data", photos, "--set", "batch=4"]
    code, shown = finish(command, ["nano", *settings, "-o", tmp_path/"out"])
    assert code == 0 and "1 of the images could not be decoded" in shown, shown
    assert (tmp_path/"out/skipped.txt").read_text() == "5x.jpg\n"


def test_runs_of_the_family_side_by_side(tmp_path):
    """Runs in processes of their own end with the weights of runs one after another; a pause and a missing prior are
    what they are alone."""
    runs = {"mini-prior": Run("nano-prior", {}, "prior"),
            "mini-16": Run("nano", {"prior": "of the family"}, "a member"), "scratch": Run("nano", {}, "from scratch")}
    how = dict(plan=Plan(images=256, settings={"batch": 64}, runs=runs), options=RunOptions(device="cpu"))
    with pytest.raises(FileNotFoundError, match="train mini-prior first"):
        train_family(None, tmp_path / "none", ["mini-16", "scratch"], n_parallel=2, **how)
    assert (tmp_path / "none/scratch/model.safetensors").exists(), "one that fails stopped the other"
    paused = how | {"options": RunOptions(device="cpu", minutes=1e-9)}
    assert not train_family(None, tmp_path / "two", runs, n_parallel=2, **paused)
    assert train_family(None, tmp_path / "two", runs, n_parallel=2, **how)
    assert train_family(None, tmp_path / "one", runs, **how)
    for name in runs:
        one, two = (load_file(tmp_path / folder / name / "model.safetensors") for folder in ("one", "two"))
        for k in one: torch.testing.assert_close(one[k], two[k])


def test_runs_side_by_side_share_one_list_of_colourful_images(tmp_path):
    "The list is there before the runs begin: two processes that write it at once would write every image twice."
    runs = {name: Run("nano", {"min_colorfulness": 20.}, name) for name in ("a", "b")}
    assert train_family(None, tmp_path, runs, Plan(images=64, settings={"batch": 64}, runs=runs),
                        RunOptions(device="cpu"), n_parallel=2)
    paths = [line.split(",")[0] for line in (tmp_path / "colorful.csv").read_text().splitlines()[2:]]
    assert len(paths) == len(set(paths)) > 9


def test_a_family_goes_on_in_another_folder_and_becomes_longer(tmp_path):
    """A folder carried to another machine: its checkpoints name the prior where it lay before. The longer run is the
    one that was never interrupted."""
    runs = {"mini-prior": Run("nano-prior", {}, "prior"),
            "scratch": Run("nano", {"prior": "of the family"}, "a member")}
    def train(folder, names, images):
        return train_family(None, tmp_path / folder, names, Plan(images=images, settings={"batch": 64}, runs=runs),
                            RunOptions(device="cpu"))
    assert train("here", runs, 128) and train("whole", ["mini-prior"], 128) and train("whole", ["scratch"], 256)
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert train("there", ["scratch"], 256)
    there, whole = (load_file(tmp_path / folder / "scratch/model.safetensors") for folder in ("there", "whole"))
    for k in whole: assert torch.equal(there[k], whole[k]), k
    with pytest.raises(ValueError, match="more than the 128 that were asked for"):
        (tmp_path / "there/scratch/model.safetensors").unlink()
        train("there", ["scratch"], 128)
