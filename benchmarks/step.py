"""A training step, stage by stage: the published order of operations, ours, gradients by hand, spectral norms once an
update, and on a GPU a recorded step.

    python benchmarks/step.py                  # the preset `mini` on the CPU: figures/step.md and .json
    python benchmarks/step.py --device cuda    # width 32, 64 images: figures/step_cuda.md and .json
    python benchmarks/step.py --profile        # also the ten operations that take most of the last stage
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/step.py --name step_avx2   # without AVX-512

All stages take turns in one run. On a GPU the trial of kernels comes first."""
import argparse

import torch
from common import a_step, gflop, in_published_order, limit, medians, most_expensive, write_table

from biggan_colorize.data import photo_patches
from biggan_colorize.precision import device_name, has_bfloat16
from biggan_colorize.presets import PRESETS, get_preset
from biggan_colorize.runs import Process, RunOptions, keep_memory
from biggan_colorize.train import JointTrainer

STAGES = {  # what is switched back; the first is also in the published order
    "published order": ("gradients", "norms"), "ours": ("gradients", "norms"), "+ gradients by hand": ("norms",),
    "+ spectral norms once": (), "+ recorded": ()}

def trainer(stage, preset, device, x, y):
    "A trainer at a stage; the published order gives the same scores."
    t = JointTrainer(preset, process=Process(device=device), options=RunOptions(graph=stage == "+ recorded"))
    if stage == "published order":
        d = t.D.eval()(x.float().to(device)/127.5 - 1, y.to(device))
        in_published_order(t.model), in_published_order(t.D)
        assert (t.D(x.float().to(device)/127.5 - 1, y.to(device)) -
                d).abs().max() < 1e-3*d.abs().max(), "the two orders give different scores"
        t.D.train()
    return t

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--ch", type=int, help="width; 16 on a CPU, 32 on a GPU")
    parser.add_argument("--batch", type=int, help="32 on a CPU, 64 on a GPU")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--name", help="of the table; step, or step_cuda on a GPU")
    parser.add_argument("--profile", action="store_true",
                        help="print the ten most expensive operations of the last stage, in each precision")
    args = parser.parse_args()
    device, cuda = args.device, args.device == "cuda"
    model, ch, n = PRESETS["mini"].model, args.ch or (32 if cuda else 16), args.batch or (64 if cuda else 32)
    keep_memory()
    torch.backends.cudnn.benchmark = True
    patches, rows = photo_patches(n, model.resolution), []
    x, y = torch.stack([(patches[i][0]*255).byte() for i in range(n)]), torch.arange(n) % model.n_classes
    settings = {"batch": n, "prior": "", "model.ch": ch, "model.encoder_ch": ch, "discriminator_ch": ch}
    stages = [s for s in STAGES if cuda or s != "+ recorded"]
    precisions = ("float32", "bfloat16") if has_bfloat16(device) else ("float32",)
    for precision in precisions:
        trainers = {s: trainer(s, get_preset("mini", settings | {"precision": precision}), device, x, y)
                    for s in stages}
        steps = {s: a_step(t, x, y, STAGES[s]) for s, t in trainers.items()}
        counts = [gflop(f) for f in steps.values()]
        for f in [*steps.values()] * 4: f()   # memory settles, and the recorded step is recorded
        for stage, operations, seconds in zip(stages, counts, medians(steps.values(), args.repetitions)):
            rows.append({"form": f"{stage}, {precision}", "images_per_second": n/seconds,
                         "ratio": rows[0]["seconds"]/seconds if rows else 1., "gflop": operations/n, "seconds": seconds,
                         "gflop_per_second": operations/seconds, "step": trainers[stage].captured.mode})
        if args.profile: print(f"{stages[-1]}, {precision}\n\n{most_expensive(steps[stages[-1]])}\n")
    most = {p: limit(getattr(torch, p), 30, device) for p in precisions}
    cells = [["form", "images/s", "times as fast", "GFLOP an image", "of the limit (%)"]]
    cells += [[r["form"], f"{r['images_per_second']:.0f}", f"{r['ratio']:.2f}", f"{r['gflop']:.2f}",
               f"{100*r['gflop_per_second']/most[r['form'].split(', ')[-1]]:.0f}"] for r in rows]
    note = (f"The preset `mini` at {model.resolution} pixels, width {ch}, {n} images, random weights: D, then E and G, "
            f"with the perceptual loss. Each stage has what the one above it has. Medians of "
            f"{args.repetitions} steps, all stages of a precision in turns, in one run on {device_name(device)}. The "
            f"limit is the rate of one large convolution: " +
            ", ".join(f"{v:,.0f} GFLOP/s in {p}" for p, v in most.items()) + ".")
    write_table(args.name or ("step_cuda" if cuda else "step"), cells, note, rows=rows, limit=most)

if __name__ == "__main__": main()
