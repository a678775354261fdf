"""A dry run of the paper's training with random weights: operations, peak memory and images/s by batch size, and what 12 epochs would take.

    python benchmarks/paper_dry_run.py [--batches 1,2,4] [--steps 2] [--out figures]    # on a GPU: paper_dry_run_cuda.md

On a CPU each batch size runs in a process of its own, because peak memory is a property of a process. The images are noise and the weights random: neither
changes how much there is to compute. LPIPS runs on a VGG16 with random weights, for the same reason."""
import argparse, json, resource, subprocess, sys, time
from dataclasses import replace
from pathlib import Path

import lpips, torch
from common import limit
from torch.utils.flop_counter import FlopCounterMode

from biggan_colorize.data import replacing
from biggan_colorize.features import LPIPSDistance
from biggan_colorize.presets import get_preset
from biggan_colorize.runs import Process
from biggan_colorize.table import commit, repository, versions
from biggan_colorize.train import JointTrainer, device_name

IMAGES, PAPER = 1_154_228, 53   # training images after the filter; images/s of the paper's four RTX 3090


def trainer(device):
    "The paper's trainer without the files that cannot be had everywhere: no prior, LPIPS with random weights."
    t = JointTrainer(get_preset("paper", {"prior": "", "perceptual": "efficientnet-lite0"}), process=Process(device=device))
    t.perceptual = LPIPSDistance("lpips-vgg", lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False)).to(device)
    return t


def measure(t, batch, steps, device):
    "One batch size in this process: a step to warm up and count operations, then `steps` timed ones."
    t.preset = replace(t.preset, batch=batch)
    x, y = torch.rand(batch, 3, 256, 256), torch.arange(batch) % 1000
    with FlopCounterMode(display=False) as counter: t.step(x, y)
    if device != "cpu": torch.cuda.empty_cache(); torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        t.step(x, y)
        if device != "cpu": torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if device != "cpu" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"batch": batch, "tflop_per_image": counter.get_total_flops() / batch / 1e12, "gib": peak / 2**30,
            "images_per_second": batch / sorted(seconds)[len(seconds) // 2], "parameters": {k: sum(p.numel() for p in v.parameters())
            for k, v in (("E", t.model.E), ("cut G", t.model.G), ("D", t.D))}}


def report(rows, device, most):
    "The rows as Markdown; `most` is the rate of a large convolution in GFLOP/s."
    days = lambda r: 12 * IMAGES / r["images_per_second"] / 86400
    said = [f"**Dry run of the preset `paper`** (256 pixels, width 96, random weights, bfloat16) on {device}. Parameters: "
            + ", ".join(f"{k} {v:,}" for k, v in rows[0]["parameters"].items()) + ".", "",
            "| batch | TFLOP an image, all of a step | peak memory (GiB) | images/s | of the limit (%) | 12 epochs (days) |", "|---:|---:|---:|---:|---:|---:|"]
    said += [f"| {r['batch']} | {r['tflop_per_image']:.2f} | {r['gib']:.1f} | {r['images_per_second']:#.3g} | {1e5 * r['tflop_per_image'] * r['images_per_second'] / most:.0f} | {days(r):,.{0 if days(r) > 100 else 1}f} |" for r in rows]
    best = max(rows, key=lambda r: r["images_per_second"])
    return "\n".join(said + ["", f"The limit is the rate of one large convolution in bfloat16, {most:,.0f} GFLOP/s. 12 epochs are {12 * IMAGES:,} images, {12 * IMAGES * best['tflop_per_image'] / 1e6:.1f} EFLOP. The paper's four RTX 3090 took about three days, "
                             f"about {PAPER} images/s, which is {PAPER * best['tflop_per_image']:.0f} TFLOP/s by this count."])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cuda = torch.cuda.is_available()
    parser.add_argument("--batches", default="8,16,32,64" if cuda else "1,2,4")
    parser.add_argument("--steps", type=int, default=5 if cuda else 2)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device, torch.backends.cudnn.benchmark = "cuda" if cuda else "cpu", cuda
    if args.one: return print(json.dumps(measure(trainer(device), args.one, args.steps, device)))
    rows, batches = [], [int(b) for b in args.batches.split(",")]
    for batch in batches if not cuda else []:
        done = subprocess.run([sys.executable, __file__, "--one", str(batch), "--steps", str(args.steps)], capture_output=True, text=True)
        if done.returncode: print(f"batch {batch}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        else: rows.append(json.loads(done.stdout.splitlines()[-1])); print(rows[-1], flush=True)
    if cuda: t = trainer(device)
    for batch in batches if cuda else []:
        try: rows.append(measure(t, batch, args.steps, device)); print(rows[-1], flush=True)
        except torch.cuda.OutOfMemoryError as e: print(f"batch {batch}: {e}", file=sys.stderr); break
    if not rows: sys.exit("No batch size could be measured.")
    most = limit(torch.bfloat16, 30, device)
    text = report(rows, device_name(device), most)
    stem = "paper_dry_run_cuda" if cuda else "paper_dry_run"
    for name, content in ((f"{stem}.md", text + "\n"), (f"{stem}.json", json.dumps({"device": device_name(device), "rows": rows, "limit_gflop_per_second": most, "commit": commit(repository()), "versions": versions()}, indent=1))):
        with replacing(args.out / name) as part: part.write_text(content)
    print(text)


if __name__ == "__main__": main()
