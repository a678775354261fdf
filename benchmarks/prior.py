"""Priors side by side: how much of the layout z decides, and how far their samples are from photographs.

    python benchmarks/prior.py [NAME=FILE …] [--data DIR] [-n IMAGES]

reads the validation images of imagenet-20 in DIR (or BIGGAN_COLORIZE_DATA) and draws as many samples, of the same
classes, from each file of `save_prior`; from the packaged prior when none is named. EfficientNet-Lite2 is the judge.
EfficientNet-Lite0 stands beside it: it took part in the training of the prior. It writes figures/prior.md and .json,
with the share of photographs that EfficientNet-Lite0 names rightly by the size at which it sees them."""
import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from biggan_colorize.color import x_hat_to_rgb
from biggan_colorize.colorizer import WEIGHTS, draw_z
from biggan_colorize.data import find_dataset, load_arrays
from biggan_colorize.features import load_backend, resize_rgb, restrict
from biggan_colorize.metrics import FeatureStatistics, frechet_distance, to_8bit
from biggan_colorize.provenance import sha256
from biggan_colorize.train import read_prior, shared_layout
from common import write_table

def judged(networks, batches, classes, reals=None):
    """Batches of RGB (B,3,S,S) in [0, 1] and classes (B,), seen by every network → {network: its statistics}, and
    {network: {distance to `reals`, share named rightly}}."""
    seen = {k.name: FeatureStatistics(k.dim, 0) for k in networks}
    right, n = dict.fromkeys(seen, 0), 0
    for x, y in batches:
        n += len(y)
        for network in networks:
            f = network.frechet_features(x)
            seen[network.name].update(f)
            right[network.name] += (restrict(network.probabilities(f), classes).argmax(1) == y).sum().item()
    scores = {k: {"named": right[k] / n} for k in seen}
    if reals:
        for k, v in seen.items(): scores[k]["frechet"] = frechet_distance(v, reals[k]).value
    return seen, scores

@torch.no_grad()
def samples(G, y, batch=100):
    "A sample of each class in y, from a z of its own."
    for i in tqdm(range(0, len(y), batch), unit="batch"):
        z = draw_z(list(range(i, min(i + batch, len(y)))), G.cfg.dim_z)
        yield to_8bit(x_hat_to_rgb(G.eval()(z, y[i:i + batch]))), y[i:i + batch]

@torch.no_grad()
def named_by_size(network, x, y, classes, sizes=(64, 96, 128, 224), batch=100):
    "The share of photographs that a network names rightly when it sees them at each size."
    right = dict.fromkeys(sizes, 0)
    for i in range(0, len(y), batch):
        for size in sizes:
            seen = network.normalize(resize_rgb(x[i:i + batch].float() / 255, size))
            p = network.probabilities(network.net.extract_features(seen).mean((2, 3)))
            right[size] += (restrict(p, classes).argmax(1) == y[i:i + batch]).sum().item()
    return {str(size): v / len(y) for size, v in right.items()}

def table(rows, networks):
    "The rows' cells, their heads first."
    def cell(row, key, form): return format(row[key], form) if key in row else "–"
    columns = [(k.name, key, form) for k in networks for key, form in (("frechet", ".1f"), ("named", ".1%"))]
    words = {"frechet": "Fréchet distance", "named": "named rightly"}
    cells = [["prior", "images seen", "layout that all z share", *(f"{words[key]}, {k}" for k, key, _ in columns)]]
    for r in rows:
        cells.append([r["name"], cell(r, "images_seen", ","), cell(r, "shared_layout", ".0%"),
                      *(cell(r[k], key, form) for k, key, form in columns)])
    return cells

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="NAME=FILE; the packaged prior when left out")
    parser.add_argument("--data", help="where the datasets lie; BIGGAN_COLORIZE_DATA when left out")
    parser.add_argument("-n", type=int, default=0, help="number of images; 0 for all")
    args = parser.parse_args()
    files = args.files or [f"mini-prior={WEIGHTS / 'mini-prior.safetensors'}"]
    if wrong := [f for f in files if "=" not in f]: parser.error(f"write NAME=FILE, not {wrong[0]}")
    images = find_dataset("imagenet-20", root=args.data)
    x, y = load_arrays(images.subset(args.n) if args.n else images)
    networks = [load_backend("efficientnet-lite2"), load_backend("efficientnet-lite0")]
    pairs = [(a.float() / 255, b) for a, b in zip(x.split(100), y.split(100))]
    reals, photographs = judged(networks, tqdm(pairs, unit="batch"), images.classes)
    rows = [{"name": "photographs"} | photographs]
    for name, file in (f.split("=", 1) for f in files):
        G, _, about = read_prior(Path(file))
        _, scores = judged(networks, samples(G, y), images.classes, reals)
        rows.append({"name": name, "weights": sha256(Path(file)), "images_seen": about["training"]["images_seen"],
                     "shared_layout": shared_layout(G)} | scores)
    by_size, n = named_by_size(networks[1], x, y, images.classes), len(images.classes)
    shown = ", ".join(f"{v:.0%} at {size}" for size, v in by_size.items())
    write_table("prior", table(rows, networks),
                f"{len(y):,} samples of each prior and as many photographs ({images.name}, {images.split}), true "
                f"classes, features in float32. Named rightly among the {n} classes; guessing gives {1 / n:.0%}. Of "
                f"the photographs, {networks[1].name} names {shown} pixels.", rows=rows, by_size=by_size)

if __name__ == "__main__": main()
