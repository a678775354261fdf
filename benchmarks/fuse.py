"""The published form, the form of training and the inference form, in one run: seconds an image, operations, and the
machine's own limit.

    python benchmarks/fuse.py                  # writes figures/fuse.md and .json; --quick for a few repetitions
    python benchmarks/fuse.py --device cuda    # a GPU, 16 of the paper's images at a time: figures/fuse_cuda.md

The models are the paper's (256 pixels, width 96, random weights) and `mini` (128 pixels), in float32 and bfloat16. The
published form upsamples before the convolutions, computes the whole table of attention and the spectral norms at each
call, and does not use channels_last. The limit is the rate of one large convolution: at that rate the operations left
after fusion take the least time this machine needs. On a CPU the paper's model runs once more with
`runs.keep_memory`."""
import argparse, copy

import torch
from common import as_published, gflop, limit, medians, write_table

from biggan_colorize.color import to_gray
from biggan_colorize.colorizer import Colorizer, ColorizerConfig
from biggan_colorize.data import photo_patches
from biggan_colorize.fuse import fuse
from biggan_colorize.precision import device_name, has_bfloat16
from biggan_colorize.runs import keep_memory

def rows_of(name, model, x_gray, repetitions, limits, device):
    model, x_gray, B = copy.deepcopy(model).to(device), x_gray.to(device), len(x_gray)
    y, z = torch.zeros(B, dtype=torch.long, device=device), torch.randn(B, model.cfg.dim_z).to(device)
    forms = {"as published, float32": as_published(model), "as trained, float32": model, "fused, float32": fuse(model)}
    if has_bfloat16(device): forms["fused, bfloat16"] = fuse(model, torch.bfloat16)
    runs = {form: lambda m=m: m(x_gray, y, z) for form, m in forms.items()}
    seconds = dict(zip(forms, medians(runs.values(), repetitions)))
    want, first = runs["as published, float32"](), seconds["as published, float32"] / B
    for form, once in runs.items():
        got, s, g = once().float(), seconds[form] / B, gflop(once) / B
        error = (got - want).square().mean().item() / 4  # of images in [0, 1]
        yield dict(device=device, model=name, form=form, seconds=s, ratio=first / s, gflop=g, gflop_per_second=g / s,
                   of_the_limit=g / s / limits[form.split(", ")[1]],
                   psnr=None if not error else -10 * torch.tensor(error).log10().item(),
                   largest=(got - want).abs().max().item())

@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few repetitions")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    n, device = 3 if args.quick else 9, args.device
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 is float32
    paper, mini = Colorizer(ColorizerConfig()).eval(), Colorizer.from_pretrained("mini")
    def gray(n, size): return to_gray(torch.stack([x for x, _ in (photo_patches(n, size)[i] for i in range(n))]))
    patches, big = gray(32, mini.resolution), gray(16, paper.resolution)
    def limits():
        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        return {name: limit(dtype, 3 * n, device) for name, dtype in dtypes.items()}
    most, (m, what) = limits(), (1, "") if device == "cpu" else (16, ", 16 at a time")
    rows = [*rows_of(f"paper, 256 pixels{what}", paper, big[:m], n, most, device),
            *rows_of(f"mini, {mini.resolution} pixels, 32 at a time", mini, patches, 3 * n, most, device)]
    # the quickest form of the paper's model
    trained, fused = rows[1], next(r for r in reversed(rows) if r["model"].startswith("paper"))
    note = (f"The limit of {device_name(device)} is the rate of a 3×3 convolution of 512 channels on 64×64 pixels: "
            f"{most['float32']:,.0f} GFLOP/s in float32, {most['bfloat16']:,.0f} in bfloat16. ")
    if device == "cpu":
        note += (f"With the operations of direct convolutions ({trained['gflop']:.0f} GFLOP) the paper's model, "
                 f"{fused['form']}, would be at "
                 f"{trained['gflop'] / fused['seconds'] / most[fused['form'].split(', ')[1]]:.0%} of it; Winograd's "
                 f"sums are not among the operations. ")
        # part of the published form's time goes into memory that the system clears anew for its large tables
        keep_memory()
        rows += rows_of("paper, 256 pixels, memory kept", paper, big[:1], n, limits(), device)
    cells = [["device", "model", "form", "ms an image", "times as fast", "GFLOP", "of the limit (%)", "PSNR (dB)",
              "largest difference"]]
    cells += [[r["device"], r["model"], r["form"], f"{1e3 * r['seconds']:.4g}", f"{r['ratio']:.2f}",
               f"{r['gflop']:.2f}", f"{100 * r['of_the_limit']:.0f}",
               "–" if r["psnr"] is None else f"{r['psnr']:.0f}", f"{r['largest']:.1e}"] for r in rows]
    write_table("fuse" if device == "cpu" else f"fuse_{device}", cells,
                f"Medians of {n} (paper) and {3 * n} (mini) repetitions, all forms in turns. {note}PSNR and largest "
                "difference are x_hat's against the published form; the paper's model has random weights.", rows=rows)

if __name__ == "__main__": main()
