"""The inference form against the form of training: seconds an image, operations, and the machine's own limit, in one run.

    python benchmarks/fuse.py            # writes figures/fuse.md and figures/fuse.json; --quick for a few repetitions

The paper's model (256 pixels, width 96, random weights) and the packaged one (64 pixels), float32 and bfloat16. The limit is the rate of one large
convolution: the operations that are left after fusion, at that rate, are the least time that this machine needs.
"""
import argparse, json, platform, statistics, time
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from biggan_colorize.color import to_gray
from biggan_colorize.colorizer import Colorizer, ColorizerConfig
from biggan_colorize.data import photo_patches, replacing
from biggan_colorize.fuse import fuse
from biggan_colorize.table import grid, repository, versions

def median_seconds(f, repetitions):
    "Median over repetitions, after one that does not count."
    f()
    def once():
        started = time.perf_counter(); f()
        return time.perf_counter() - started
    return statistics.median(once() for _ in range(repetitions))

def gflop(f):
    with FlopCounterMode(display=False) as counter: f()
    return counter.get_total_flops() / 1e9

def limit(dtype, repetitions):
    "GFLOP a second of a 3×3 convolution of 512 channels on 64×64 pixels."
    conv, x = nn.Conv2d(512, 512, 3, padding=1).to(dtype=dtype, memory_format=torch.channels_last), torch.randn(1, 512, 64, 64).to(dtype=dtype, memory_format=torch.channels_last)
    return 2 * 512 * 512 * 9 * 64 * 64 / 1e9 / median_seconds(lambda: conv(x), repetitions)

def rows_of(name, model, x_gray, repetitions):
    y, z, B = torch.zeros(len(x_gray), dtype=torch.long), torch.randn(len(x_gray), model.cfg.dim_z), len(x_gray)
    forms = {"as trained, float32": model, "fused, float32": fuse(model), "fused, bfloat16": fuse(model, torch.bfloat16)}
    want, first = model(x_gray, y, z), None
    for form, m in forms.items():
        got, s, g = m(x_gray, y, z).float(), median_seconds(lambda: m(x_gray, y, z), repetitions) / B, gflop(lambda: m(x_gray, y, z)) / B
        first = first or s
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
    text = (grid(cells) + f"\n\nMedians of {n} (paper) and {3 * n} (mini) repetitions in one run on a {platform.machine()} CPU, {torch.get_num_threads()} threads, torch {versions()['torch']}. "
            f"The limit is the rate of one 3×3 convolution of 512 channels on 64×64 pixels: {limits['float32']:.0f} GFLOP/s in float32, {limits['bfloat16']:.0f} in bfloat16. "
            f"PSNR and largest difference are x_hat's against the form of training; the paper's model has random weights.\n")
    print(text)
    for suffix, content in (("md", text), ("json", json.dumps({"rows": rows, "limits": limits, "threads": torch.get_num_threads(), "versions": versions()}, indent=1) + "\n")):
        with replacing(repository() / "figures" / f"fuse.{suffix}") as part: part.write_text(content, encoding="utf-8")

if __name__ == "__main__": main()
