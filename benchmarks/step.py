"""A training step in the published order of operations and in ours: seconds, operations.

    python benchmarks/step.py            # writes figures/step.md and figures/step.json
"""
import torch
from common import gflop, in_published_order, median_seconds, write_table

from biggan_colorize.data import photo_patches
from biggan_colorize.presets import get_preset
from biggan_colorize.train import JointTrainer

def main(repetitions=5):
    patches, rows = photo_patches(32, 64), []
    x, y = torch.stack([patches[i][0] for i in range(32)]), torch.arange(32) % 100
    for precision, bf16 in (("float32", False), ("bfloat16", True)):
        for form in ("published order", "ours"):
            t = JointTrainer(get_preset("mini", {"bf16": bf16}))
            if form != "ours":
                d = t.D.eval()(x*2 - 1, y)
                in_published_order(t.model), in_published_order(t.D)
                assert (t.D(x*2 - 1, y) - d).abs().max() < 1e-4*d.abs().max(), "the two orders give different scores"
                t.D.train()
            operations, seconds = gflop(lambda: t.step(x, y)), median_seconds(lambda: t.step(x, y), repetitions)
            rows.append({"form": f"{form}, {precision}", "images_per_second": 32/seconds, "ratio": rows[0]["seconds"]/seconds if rows else 1., "gflop": operations/32, "seconds": seconds})
    cells = [["form", "images/s", "times as fast", "GFLOP an image"]]
    cells += [[r["form"], f"{r['images_per_second']:.0f}", f"{r['ratio']:.2f}", f"{r['gflop']:.2f}"] for r in rows]
    write_table("step", cells, f"The preset `mini`, 32 images: D, then E and G, with the perceptual loss. Medians of {repetitions} steps in one run on the CPU, {torch.get_num_threads()} threads.", rows=rows)

if __name__ == "__main__": main()
