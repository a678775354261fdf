"""How well colour comes back to full size: along the edges of L, plainly, and by two known filters.

    python benchmarks/upsampling.py [--data DIR] [-n IMAGES] [--skip 60] [--small 64] [-o figures/upsampling]

reads ImageNet's validation images in DIR (or BIGGAN_COLORIZE_DATA) without the first 60 of a fixed order, on which the
settings were chosen. It takes each image's own ab at 256 pixels, reduces it to a quarter of the side and brings it
back. No model takes part. It writes a CSV and a Markdown table of the error of ab (distance in the ab plane): overall,
near the edges of colour, elsewhere, each with the standard error of its mean, and the share of images on which a method
beats bilinear near the edges."""
import argparse, csv, io, math

import torch
import torch.nn.functional as F
from tqdm import tqdm

from biggan_colorize.data import atomic_write, find_dataset, loader
from biggan_colorize.upsample import upsampling_methods, upsampling_errors

PLACES = ("overall", "near edges", "elsewhere")

def guided(ab, L_small, L, radius=1, epsilon=1.):
    "The fast guided filter (He and Sun 2015): each window's line, fitted at the small size, applied at the full one."
    def mean(v): return F.avg_pool2d(v, 2*radius + 1, 1, radius, count_include_pad=False)
    m = mean(L_small)
    slope = (mean(L_small*ab) - m*mean(ab))/(mean(L_small*L_small) - m*m + epsilon)
    slope, base = (F.interpolate(mean(v), L.shape[2:], mode="bilinear") for v in (slope, mean(ab) - slope*m))
    return slope*L + base

def joint_bilateral(ab, L_small, L, radius=2, near=0.5, alike=10.):
    "Joint bilateral upsampling (Kopf and others 2007): a mean of small pixels, weighted by distance and likeness of L."
    (h, w), (H, W) = ab.shape[2:], L.shape[2:]
    v, u = (torch.arange(H) + 0.5)*h/H - 0.5, (torch.arange(W) + 0.5)*w/W - 0.5
    total = weights = 0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            i, j = (v.round().long() + dy), (u.round().long() + dx)
            def at(x): return x[:, :, i.clamp(0, h - 1)][..., j.clamp(0, w - 1)]
            distance, likeness = (v - i)[:, None].square() + (u - j).square(), (L - at(L_small)).square()
            weight = torch.exp(-distance/(2*near**2) - likeness/(2*alike**2)) + 1e-9
            total, weights = total + weight*at(ab), weights + weight
    return total/weights

FILTERS = {"guided filter": guided, "joint bilateral": joint_bilateral}

def measure(dataset, small):
    "{method: (3, n) errors}."
    found = {}
    for x, _ in tqdm(loader(dataset, 10), unit="batch", delay=2):
        errors = upsampling_errors(x, small, upsampling_methods() | FILTERS)
        for name, e in errors.items(): found.setdefault(name, []).append(e)
    return {name: torch.cat(e, 1) for name, e in found.items()}

def rows_of(errors):
    n, base = errors["bilinear"].shape[1], errors["bilinear"]
    for name, e in errors.items():
        row = {"method": name, "images": n}
        for k, place in enumerate(PLACES):
            row |= {place: e[k].mean().item(), place + " se": e[k].std().item()/math.sqrt(n)}
        yield row | {"better than bilinear near edges": (e[1] < base[1]).double().mean().item()}

def table(rows, small, size):
    "The rows as Markdown."
    lines = [f"Error of ab after {size} → {small} → {size} pixels, {rows[0]['images']} images; "
             f"± is the standard error of the mean.", "",
             "| method | " + " | ".join(PLACES) + " | images better than bilinear near edges |", "|---|" + "---:|"*4]
    for r in rows:
        share = "–" if r["method"] == "bilinear" else f"{100*r['better than bilinear near edges']:.0f} %"
        errors = " | ".join(f"{r[p]:.2f} ± {r[p + ' se']:.2f}" for p in PLACES)
        lines.append(f"| {r['method']} | {errors} | {share} |")
    return "\n".join(lines) + "\n"

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data"); parser.add_argument("-n", type=int, default=0)
    parser.add_argument("--skip", type=int, default=60)
    parser.add_argument("--small", type=int, default=64); parser.add_argument("--size", type=int, default=256)
    parser.add_argument("-o", "--out", default="figures/upsampling")
    args = parser.parse_args()
    dataset = find_dataset("imagenet", root=args.data, size=args.size)
    if args.skip:
        seen = set(dataset.subset(args.skip).paths)
        dataset = dataset.take([i for i, path in enumerate(dataset.paths) if path not in seen])
    rows = list(rows_of(measure(dataset.subset(args.n) if args.n else dataset, args.small)))
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    for suffix, content in ((".csv", text.getvalue()), (".md", table(rows, args.small, args.size))):
        with atomic_write(args.out + suffix) as part: part.write_text(content, encoding="utf-8")
    print(table(rows, args.small, args.size))

if __name__ == "__main__": main()
