"""What keeping freed memory brings to a training step and to colorizing: before and after `runs.keep_memory`, each in a
process of its own.

    python benchmarks/memory.py           # writes figures/memory.md and .json"""
import json, resource, subprocess, sys

import torch
from common import median_seconds, write_table

from biggan_colorize.baselines.mini import load_mini
from biggan_colorize.color import to_gray
from biggan_colorize.data import photo_patches
from biggan_colorize.precision import device_name
from biggan_colorize.presets import PRESETS
from biggan_colorize.runs import keep_memory
from biggan_colorize.train import JointTrainer

def work(what):
    "The function to be timed, and how many images it works on."
    model = PRESETS["mini"].model
    patches = photo_patches(100, model.resolution)
    x, y = torch.stack([patches[i][0] for i in range(100)]), torch.arange(100) % model.n_classes
    if what == "training step":
        t = JointTrainer(PRESETS["mini"])
        return lambda: t.step(x[:32], y[:32]), 32
    tovivid = load_mini("tovivid")
    return lambda: tovivid.colorize_batch(to_gray(x), y, range(100)), 100

def measure(what, keep):
    if keep: keep_memory()
    f, n = work(what)
    seconds = median_seconds(f, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    f()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"what": what, "keep": keep, "images_per_second": n/seconds, "pages": used.ru_minflt - before,
            "gib": used.ru_maxrss/2**20}

def main():
    if sys.argv[1:]: return print(json.dumps(measure(sys.argv[1], sys.argv[2] == "True")))
    rows = [json.loads(subprocess.run([sys.executable, __file__, what, str(keep)], capture_output=True, text=True,
                                      check=True).stdout.splitlines()[-1])
            for what in ("training step", "colorizing with ToVivid") for keep in (False, True)]
    cells = [["work", "freed memory", "images/s", "times as fast", "pages cleared in one go", "peak memory (GiB)"]]
    cells += [[r["what"], "kept" if r["keep"] else "as glibc does", f"{r['images_per_second']:.0f}",
               f"{r['images_per_second']/rows[k - k % 2]['images_per_second']:.2f}",
               f"{r['pages']:,}", f"{r['gib']:.1f}"] for k, r in enumerate(rows)]
    write_table("memory", cells,
                f"The mini models, {PRESETS['mini'].model.resolution} pixels. Medians of 10 repetitions on "
                f"{device_name()}.", rows=rows)

if __name__ == "__main__": main()
