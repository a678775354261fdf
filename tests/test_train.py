"A training run in a process of its own: killed in the middle and run again, it ends with the weights of a run that nobody disturbed."
import os, subprocess, sys, time
from pathlib import Path

import pytest

ARGS = ["train", "nano", "--set", "batch=2", "--save-every", "20"]

def start(out):
    program = Path(sys.executable).parent/"biggan-colorize"
    return subprocess.Popen([program, *ARGS, "-o", out], env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

def finish(out):
    process = start(out)
    shown, _ = process.communicate(timeout=280)
    assert process.returncode == 0 and "Traceback" not in shown, shown

def weights(out):
    from safetensors.torch import load_file
    return load_file(out/"model.safetensors")

@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL does not exist on Windows")
def test_killed_run_goes_on(tmp_path):
    import torch
    finish(tmp_path/"whole")
    process = start(tmp_path/"killed")
    for _ in range(1200):
        if process.poll() is not None or list((tmp_path/"killed").glob("checkpoint_*.pt")): break
        time.sleep(.1)
    assert process.poll() is None, process.communicate()[0]
    process.kill(); process.communicate()
    assert not (tmp_path/"killed"/"model.safetensors").exists()
    finish(tmp_path/"killed")
    whole, resumed = weights(tmp_path/"whole"), weights(tmp_path/"killed")
    assert list(whole) == list(resumed) and all(torch.equal(whole[k], resumed[k]) for k in whole)

@pytest.mark.parametrize("args, said", [(["tiny"], "nano"), (["nano", "--set", "bogus=1"], "bogus"), (["nano", "--set", "lr"], "key=value"),
                                        (["mini", "--data", "nowhere"], "nowhere")])
def test_a_wrong_command_line_is_one_sentence(run, tmp_path, args, said):
    done = run("biggan-colorize", "train", *args, "-o", tmp_path/"out", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
