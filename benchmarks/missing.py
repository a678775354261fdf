"""What keeps a colorizer from the originals: their colours put into its pictures, and its colours into theirs, part by
part.

    python benchmarks/missing.py [--data DIR] [--model mini] [-n IMAGES]

reads the validation images of imagenet-20 in DIR (or BIGGAN_COLORIZE_DATA), colours them with their true classes, and
splits ab into a coarse part (means over squares, enlarged bilinearly) and the rest. Every mixture has the original's L.
It writes figures/missing.md and .json: the Fréchet distance of each mixture to the originals on these images and, by
the line through the distances of all, halves and thirds, on infinitely many."""
import argparse

import torch
from torch.nn import functional as F
from tqdm import tqdm

from biggan_colorize.color import colorfulness, lab_to_rgb, rgb_to_lab, to_gray
from biggan_colorize.colorizer import WEIGHTS, Colorizer
from biggan_colorize.data import find_dataset, load_arrays
from biggan_colorize.features import load_backend
from biggan_colorize.fuse import fuse
from biggan_colorize.metrics import extrapolated, to_8bit
from biggan_colorize.provenance import sha256
from common import write_table

def coarse(ab, side):
    "ab (B,2,S,S) as `side`×`side` means, enlarged again; 1: one colour for the image."
    return F.interpolate(F.adaptive_avg_pool2d(ab, side), ab.shape[2:], mode="bilinear")

# name → ab of the mixture, from ab of the originals and of the colorizer
MIXTURES = {
    "the originals, put together again": lambda real, ours: real,
    "the originals' colours at 32×32": lambda real, ours: coarse(real, 32),
    "the originals' colours at 16×16": lambda real, ours: coarse(real, 16),
    "each original's mean colour": lambda real, ours: coarse(real, 1),
    "the originals, with the colorizer's mean colour": lambda real, ours: real - coarse(real, 1) + coarse(ours, 1),
    "the colorizer": lambda real, ours: ours,
    "the colorizer, with the originals' mean colour": lambda real, ours: ours - coarse(ours, 1) + coarse(real, 1),
    "the colorizer, with the originals' colours at 16×16":
        lambda real, ours: ours - coarse(ours, 16) + coarse(real, 16),
    "the colorizer at 16×16, with the originals' detail":
        lambda real, ours: coarse(ours, 16) + real - coarse(real, 16)}

@torch.no_grad()
def measure(x, y, model, network, batch=100):
    """x RGB (n,3,S,S) as whole numbers 0 … 255, y (n,) → features of the originals (n,dim), {mixture: features},
    {mixture: colourfulness}."""
    real, made, vivid = [], {name: [] for name in MIXTURES}, {name: [] for name in MIXTURES}
    for i in tqdm(range(0, len(x), batch), unit="batch"):
        x_real = x[i:i + batch].float() / 255
        gray, seeds = to_8bit(to_gray(x_real)), list(range(i, i + len(x_real)))
        x_ours = to_8bit(model.colorize_batch(gray, y[i:i + batch], seeds))
        (L, real_ab), ours_ab = rgb_to_lab(x_real).split([1, 2], 1), rgb_to_lab(x_ours)[:, 1:]
        real.append(network.frechet_features(x_real))
        for name, mix in MIXTURES.items():
            mixed = to_8bit(lab_to_rgb(torch.cat([L, mix(real_ab, ours_ab)], 1)))
            made[name].append(network.frechet_features(mixed))
            vivid[name].append(colorfulness(mixed))
    colorful = {k: torch.cat(v).mean().item() for k, v in vivid.items()}
    return torch.cat(real), {k: torch.cat(v) for k, v in made.items()}, colorful

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="where the datasets lie; BIGGAN_COLORIZE_DATA when left out")
    parser.add_argument("--model", default="mini", help="packaged weights")
    parser.add_argument("-n", type=int, default=0, help="number of images; 0 for all")
    args = parser.parse_args()
    model, network = fuse(Colorizer.from_pretrained(args.model)), load_backend()
    images = find_dataset("imagenet-20", root=args.data, size=model.resolution)
    x, y = load_arrays(images.subset(args.n) if args.n else images)
    real, made, vivid = measure(x, y, model, network)
    rows = {name: dict(zip(("sizes", "frechet", "infinite"), extrapolated(f, real))) | {"colorfulness": vivid[name]}
            for name, f in made.items()}
    def distance(d): return f"{max(d, 0.):.2f}"  # rounding can leave a little less than 0
    cells = [["colours", f"on {len(x):,} images", "on infinitely many", "colourfulness"],
             *([name, distance(r["frechet"][0]), distance(r["infinite"]), f"{r['colorfulness']:.1f}"]
               for name, r in rows.items())]
    write_table("missing", cells, f"Fréchet distance to the originals ({images.name}, {images.split}; {network.name}, "
                f"float32); the colorizer is `{args.model}`, true classes. Every row has the originals' L.",
                rows=rows, model=args.model, weights=sha256(WEIGHTS / f"{args.model}.safetensors"), images=len(x),
                dataset=images.name, backend=network.name)

if __name__ == "__main__": main()
