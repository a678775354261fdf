"""A gray 12-megapixel photograph from file to file with `photo`, the model of the command line, in fresh processes:
seconds.

    python benchmarks/photograph.py       # writes figures/photograph.md and .json"""
import json, statistics, subprocess, sys, tempfile
from pathlib import Path

from common import write_table

from biggan_colorize.data import photo

STAGES = """
import time; start = time.perf_counter()
import sys, torch
from pathlib import Path
from biggan_colorize import cli
from biggan_colorize.photographs import Settings, colorize_as, load_model, open_photo
stages, at = {}, time.perf_counter()
stages["imports (torch and the package)"] = at - start
def done(name):
    global at
    stages[name], at = time.perf_counter() - at, time.perf_counter()
model = load_model("photo"); done("model")
image = open_photo(Path(sys.argv[1])).image; done("decoding")
coloured = colorize_as(image, Settings(), model); done("colorizing, and ab to full size")
cli.save_png(coloured, Path(sys.argv[2])); done("PNG")
import json; print(json.dumps(stages))
"""

def main(repetitions=5):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        photo("coffee").convert("L").resize((4000, 3000)).save(folder/"photograph.jpg", quality=92)
        runs = []
        for k in range(repetitions + 1):
            ran = subprocess.run([sys.executable, "-c", STAGES, folder/"photograph.jpg", folder/f"{k}.png"],
                                 capture_output=True, text=True, check=True)
            runs.append(json.loads(ran.stdout.splitlines()[-1]))
    stages = {k: statistics.median(r[k] for r in runs[1:]) for k in runs[0]}
    work = [sum(v for k, v in r.items() if not k.startswith("imports")) for r in runs[1:]]
    cells = [["stage", "seconds"], *([k, f"{v:.2f}"] for k, v in stages.items()),
             ["from file to file, without the imports", f"{statistics.median(work):.2f}"],
             ["from file to file, with them", f"{statistics.median(sum(r.values()) for r in runs[1:]):.2f}"]]
    write_table("photograph", cells,
                f"4000×3000 pixels, gray JPEG to PNG, `photo` without a class; medians of {repetitions} fresh "
                "processes after one that does not count, on the CPU.", stages=stages, runs=runs[1:])

if __name__ == "__main__": main()
