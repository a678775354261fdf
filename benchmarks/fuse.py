"""The published form, the form of training and the inference form: seconds an image, operations, and the machine's own limit, in one run.

    python benchmarks/fuse.py            # writes figures/fuse.md and figures/fuse.json; --quick for a few repetitions

The paper's model (256 pixels, width 96, random weights) and the packaged one (64 pixels), float32 and bfloat16. As published: upsampling before the
convolutions, the table of attention at once, spectral norm at each call, no channels_last. The limit is the rate of one large convolution: the
operations that are left after fusion, at that rate, are the least time that this machine needs.
"""
import argparse

import torch
from common import as_published, gflop, limit, medians, write_table

from biggan_colorize.color import to_gray
from biggan_colorize.colorizer import Colorizer, ColorizerConfig
from biggan_colorize.data import photo_patches
from biggan_colorize.fuse import fuse

def rows_of(name, model, x_gray, repetitions):
    y, z, B = torch.zeros(len(x_gray), dtype=torch.long), torch.randn(len(x_gray), model.cfg.dim_z), len(x_gray)
    forms = {"as published, float32": as_published(model), "as trained, float32": model, "fused, float32": fuse(model), "fused, bfloat16": fuse(model, torch.bfloat16)}
    runs = {form: lambda m=m: m(x_gray, y, z) for form, m in forms.items()}
    seconds = dict(zip(forms, medians(runs.values(), repetitions)))
    want, first = runs["as published, float32"](), seconds["as published, float32"] / B
    for form, once in runs.items():
        got, s, g = once().float(), seconds[form] / B, gflop(once) / B
        error = (got - want).square().mean().item() / 4  # of images in [0, 1]
        yield dict(model=name, form=form, seconds=s, ratio=first / s, gflop=g, gflop_per_second=g / s, psnr=None if not error else -10 * torch.tensor(error).log10().item(),
                   largest=(got - want).abs().max().item(), limit="bfloat16" if "bf" in form else "float32")

@torch.no_grad()
def main():
    args = argparse.ArgumentParser(); args.add_argument("--quick", action="store_true"); quick = args.parse_args().quick
    n = 3 if quick else 9
    torch.manual_seed(0)
    limits = {"float32": limit(torch.float32, 3 * n), "bfloat16": limit(torch.bfloat16, 3 * n)}
    paper = Colorizer(ColorizerConfig()).eval()
    patches = torch.stack([photo_patches(32, 64)[i][0] for i in range(32)])
    big = torch.stack([photo_patches(2, 256)[i][0] for i in range(2)])
    rows = [*rows_of("paper, 256 pixels", paper, to_gray(big[:1]), n), *rows_of("mini, 64 pixels, 32 at a time", Colorizer.from_pretrained("mini"), to_gray(patches), 3 * n)]
    cells = [["model", "form", "ms an image", "times as fast", "GFLOP", "of the limit (%)", "PSNR (dB)", "largest difference"]]
    cells += [[r["model"], r["form"], f"{1e3 * r['seconds']:.1f}", f"{r['ratio']:.2f}", f"{r['gflop']:.2f}", f"{100 * r['gflop_per_second'] / limits[r['limit']]:.0f}",
               "–" if r["psnr"] is None else f"{r['psnr']:.0f}", f"{r['largest']:.1e}"] for r in rows]
    trained, fused = rows[1], rows[3]
    direct = trained["gflop"] / fused["seconds"] / limits["bfloat16"]
    write_table("fuse", cells, f"Medians of {n} (paper) and {3 * n} (mini) repetitions, all forms in turns, on the CPU, {torch.get_num_threads()} threads. The limit is the rate of one 3×3 "
                f"convolution of 512 channels on 64×64 pixels: {limits['float32']:.0f} GFLOP/s in float32, {limits['bfloat16']:.0f} in bfloat16. "
                f"Winograd's sums are not among the operations; with those of direct convolutions ({trained['gflop']:.0f} GFLOP) the paper's model, fused in bfloat16, would be at {direct:.0%} of the limit. PSNR and largest difference are "
                f"x_hat's against the published form; the paper's model has random weights.", rows=rows, limits=limits)

if __name__ == "__main__": main()
