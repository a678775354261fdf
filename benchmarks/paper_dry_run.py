"""A dry run of the paper's training with random weights: operations, memory and images/s by batch size, before and
after the step was made faster, and what 12 epochs would take.

    python benchmarks/paper_dry_run.py [--batches 1,2,4] [--steps 2] [--out figures]  # a GPU: paper_dry_run_cuda.md
    python benchmarks/paper_dry_run.py --profile     # also the ten operations that take most of a step

On a CPU each row is measured in a process of its own, because peak memory is a property of a process. The images are
noise and the weights random: neither changes how much there is to compute. LPIPS runs on a VGG16 with random weights,
for the same reason."""
import argparse, json, resource, subprocess, sys, time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import lpips, torch
from common import a_step, as_torch_has_it, attend_by_table, limit, most_expensive
from torch.utils.flop_counter import FlopCounterMode

from biggan_colorize.biggan import attend_fused, forget
from biggan_colorize.data import atomic_write
from biggan_colorize.features import LPIPSDistance
from biggan_colorize.precision import device_name
from biggan_colorize.presets import get_preset
from biggan_colorize.runs import Process, RunOptions, keep_memory
from biggan_colorize.provenance import commit, repository, versions
from biggan_colorize.table import grid
from biggan_colorize.train import JointTrainer, set_grad

IMAGES, PAPER = 1_154_228, 53   # training images after the filter; images/s of the paper's four RTX 3090
# what is switched back, see `common.FORMS`
STAGES = {"before": ("gradients", "norms", "attention"), "now": (), "now, recorded": ()}


def trainer(device, stage):
    "The paper's trainer without the files that cannot be had everywhere: no prior, LPIPS with random weights."
    t = JointTrainer(get_preset("paper", {"prior": "", "perceptual": "efficientnet-lite0"}),
                     process=Process(device=device),
                     options=RunOptions(graph=stage == "now, recorded"))
    t.perceptual = LPIPSDistance("lpips-vgg",
                                 lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False)).to(device)
    return t


def measure(t, stage, batch, steps, device):
    "One batch size in this process: steps to warm up and count operations, then `steps` timed ones."
    t.preset = replace(t.preset, batch=batch)
    x, y = (torch.rand(batch, 3, 256, 256) * 255).byte().to(device), torch.arange(batch) % 1000
    step = a_step(t, x, y, STAGES[stage])
    with FlopCounterMode(display=False) as counter: step()
    for _ in range(4 if device != "cpu" else 0): step()    # the recorded step is recorded
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        if device != "cpu": torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = (torch.cuda.max_memory_reserved() if device != "cpu"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    parts = {"E": t.model.E, "cut G": t.model.G, "D": t.D}
    return {"stage": stage, "batch": batch, "tflop_per_image": counter.get_total_flops() / batch / 1e12,
            "gib": peak / 2**30, "images_per_second": batch / sorted(seconds)[len(seconds) // 2],
            "precision": t.precision, "step": t.captured.mode,
            "parameters": {k: sum(p.numel() for p in v.parameters()) for k, v in parts.items()}}


def kept_for_the_gradient(t, stage, batch):
    """Bytes that autograd keeps at the fullest moment of a step's two forward passes, weights not counted, with a
    GPU's form of attention."""
    t.preset, storages = replace(t.preset, batch=batch), {}
    own = {p.untyped_storage().data_ptr() for net in (t.model, t.D, t.perceptual)
           for p in (*net.parameters(), *net.buffers())}
    def note(v):
        storages[v.untyped_storage().data_ptr()] = (v.untyped_storage().nbytes(), v)
        return v
    def total(f):
        storages.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda v: v): f()
        return sum(n for where, (n, _) in storages.items() if where not in own)
    back = STAGES[stage]
    if "norms" in back: forget(t.model), forget(t.D)
    with as_torch_has_it(*back), patch("biggan_colorize.biggan.attend",
                                       attend_by_table if "attention" in back else attend_fused):
        part, = t.microbatches(**t.draw(torch.rand(batch, 3, 256, 256), torch.arange(batch)))
        generating, judging = total(lambda: t.generated(part)), total(lambda: t.loss_D(part))
        set_grad(t.D, False)
        return generating + max(judging, total(lambda: t.loss_G(part)))


def report(rows, device, most, kept):
    "The rows as Markdown; `most` is the rate of a large convolution in GFLOP/s, `kept` {stage: bytes an image}."
    days = lambda r: 12 * IMAGES / r["images_per_second"] / 86400
    first = {r["batch"]: r["images_per_second"] for r in rows if r["stage"] == "before"}
    cells = [["step", "batch", "TFLOP an image, all of a step", "peak memory (GiB)", "images/s", "times as fast",
              "of the limit (%)", "12 epochs (days)"]]
    cells += [[r["stage"], str(r["batch"]), f"{r['tflop_per_image']:.2f}", f"{r['gib']:.1f}",
               f"{r['images_per_second']:#.3g}",
               f"{r['images_per_second'] / first[r['batch']]:.2f}" if r["batch"] in first else "–",
               f"{1e5 * r['tflop_per_image'] * r['images_per_second'] / most:.0f}",
               f"{days(r):,.{0 if days(r) > 100 else 1}f}"] for r in rows]
    best = max(rows, key=lambda r: r["images_per_second"])
    head = (f"**Dry run of the preset `paper`** (256 pixels, width 96, random weights, {rows[0]['precision']}) on "
            f"{device}. Parameters: " + ", ".join(f"{k} {v:,}" for k, v in rows[0]["parameters"].items()) + ".")
    tail = (f"*before*: gradients as torch has them, spectral norms at each forward pass, on a GPU attention by the "
            f"table of weights. For the gradient autograd keeps {kept['before'] / 2**20:.0f} MiB an image "
            f"before and {kept['now'] / 2**20:.0f} now, counted on the CPU with a GPU's attention. The limit is the "
            f"rate of one large convolution in {rows[0]['precision']}, "
            f"{most:,.0f} GFLOP/s. 12 epochs are {12 * IMAGES:,} images, "
            f"{12 * IMAGES * best['tflop_per_image'] / 1e6:.1f} EFLOP. The paper's four RTX 3090 (16 images on each, "
            f"24 GiB) took about three "
            f"days, about {PAPER} images/s, which is {PAPER * best['tflop_per_image']:.0f} TFLOP/s by this count.")
    return f"{head}\n\n{grid(cells)}\n\n{tail}"


def in_a_process(stage, batch, args):
    "A row measured in a process of its own, or None and a line on stderr."
    options = ["--one", str(batch), "--stage", stage, "--steps", str(args.steps),
               *(["--profile"] if args.profile else [])]
    done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True)
    if done.returncode: return print(f"{stage}, batch {batch}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    *shown, row = done.stdout.splitlines()
    print(*shown, row, sep="\n", flush=True)
    return json.loads(row)


def one(stage, batch, args, device):
    "Measures a row, prints the profile where it is asked for, and the row as JSON."
    keep_memory()
    t = trainer(device, stage)
    row = measure(t, stage, batch, args.steps, device)
    if args.profile:
        print(most_expensive(a_step(t, torch.rand(batch, 3, 256, 256), torch.arange(batch) % 1000, STAGES[stage])))
    print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument("--batches", default="16,32,64" if cuda else "1,2,4")
    parser.add_argument("--steps", type=int, default=5 if cuda else 2)
    parser.add_argument("--stages",
                        default="before,recorded" if cuda else "before,now", help="before, now, recorded")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--profile", action="store_true", help="print the ten most expensive operations of a step")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    args = parser.parse_args()
    device, torch.backends.cudnn.benchmark = "cuda" if cuda else "cpu", cuda
    if args.one: return one(args.stage, args.one, args, device)
    stages = [s.replace("recorded", "now, recorded") for s in args.stages.split(",")]
    rows = [row for stage in stages for batch in args.batches.split(",")
            if (row := in_a_process(stage, int(batch), args))]
    if not rows: sys.exit("No batch size could be measured.")
    most = limit(getattr(torch, rows[0]["precision"]), 30, device)
    kept = {stage: kept_for_the_gradient(trainer("cpu", stage), stage, 2) -
            kept_for_the_gradient(trainer("cpu", stage), stage, 1) for stage in ("before", "now")}
    text = report(rows, device_name(device), most, kept)
    stem = "paper_dry_run_cuda" if cuda else "paper_dry_run"
    numbers = {"device": device_name(device), "rows": rows, "limit_gflop_per_second": most,
               "kept_bytes_per_image": kept, "commit": commit(repository()), "versions": versions()}
    for name, content in ((f"{stem}.md", text + "\n"), (f"{stem}.json", json.dumps(numbers, indent=1))):
        with atomic_write(args.out / name) as part: part.write_text(content)
    print(text)


if __name__ == "__main__": main()
