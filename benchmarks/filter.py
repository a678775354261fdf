"""How fast the colourfulness filter is, plain against quick, and what ImageNet's training images would take.

    python benchmarks/filter.py [--data DIR] [--runs 3] [-n IMAGES] [-o TABLE.md]

prints a Markdown table. It measures the training images of imagenet-20 and ImageNet's validation images where DIR (or
BIGGAN_COLORIZE_DATA) holds them, and always 30 JPEG files made of six photographs. Both ways are timed in turn, in one
process on one core, in seconds of processor time: waiting for a disk is not in it. The decisions of the two are
compared on every image."""
import argparse, csv, json, os, statistics, sys, tempfile, time
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"         # read when tqdm is imported

import torch
from PIL import Image

from biggan_colorize.color import COLORFULNESS_THRESHOLD
from biggan_colorize.data import (AT_EIGHTH, COLUMNS, ImageDataset, PHOTOS, QUICK_MARGIN, _settings, atomic_write,
                                  filter_colorful, find_dataset, imagenet_wnids, photo, read_filter_list)

IMAGENET, CORES, PIXELS = 1_281_167, 16, 400 * 350

def photographs(folder):
    "Six photographs from gray to full colour as JPEG files."
    folder.mkdir()
    for name in PHOTOS:
        gray = photo(name).convert("L").convert("RGB")
        for s in (0, .25, .5, .75, 1): Image.blend(gray, photo(name), s).save(folder/f"{name}_{s}.jpg", quality=90)
    return find_dataset("folder", root=folder)

def data_sets(data, tmp, n):
    "(name, data set) of all that is there, at most `n` images each."
    found = [("six photographs as JPEG", photographs(tmp/"photographs"))]
    for name, split in (("imagenet-20", "train"), ("imagenet", "val")):
        try: found.append((f"{name} {split}", find_dataset(name, split, root=data)))
        except FileNotFoundError as e: print(f"Left out: {e}", file=sys.stderr)
    return [(name, ds.subset(n) if n and n < len(ds) else ds) for name, ds in found]

def timed(ds, out, quick):
    start = time.process_time()
    rows = read_filter_list(filter_colorful(ds, out, quick=quick))[1]
    seconds = time.process_time() - start
    out.unlink()
    return seconds, rows

def measure(ds, tmp, runs):
    "Images, their mean pixels, images/s plain and quick (medians), the share scored in full, different decisions."
    timed(ds.take(range(min(len(ds), 20))), tmp/"warm.csv", True)
    seconds, rows = {False: [], True: []}, {}
    for _ in range(runs):
        for quick in seconds:
            s, rows[quick] = timed(ds, tmp/"list.csv", quick)
            seconds[quick].append(s)
    plain, quick = (len(ds) / statistics.median(s) for s in seconds.values())
    area = sum(w * h for w, h in map(size, ds.paths)) / len(ds)
    differ = sum(p[2] != q[2] for p, q in zip(rows[False], rows[True], strict=True))
    return len(ds), area, plain, quick, sum(q[3] != AT_EIGHTH for q in rows[True]) / len(ds), differ

def size(path):
    with Image.open(path) as img: return img.size

def list_times(tmp):
    "Seconds to take up a list of ImageNet's size that lacks its last image, and to read it for training."
    wnids, labels = imagenet_wnids(), [k * 1000 // IMAGENET for k in range(IMAGENET)]
    paths = [tmp/"imagenet"/"train"/wnids[c]/f"{wnids[c]}_{k}.JPEG" for k, c in enumerate(labels)]
    ds, out = ImageDataset(paths, labels, wnids, 256, "imagenet", "train", root=tmp/"imagenet"), tmp/"list.csv"
    rows = ([ds.relative(k), f"{k % 997 / 10:.4f}", int(k % 997 >= 150), ""] for k in range(IMAGENET - 1))
    with open(tmp/"list.csv.partial", "w", newline="") as f:
        f.write(f"# {json.dumps(_settings(ds, COLORFULNESS_THRESHOLD, 'hasler'))}\n")
        csv.writer(f, lineterminator="\n").writerows([COLUMNS, *rows])
    start = time.process_time()
    filter_colorful(ds, out)
    middle = time.process_time()
    ds.keep(out)
    return middle - start, time.process_time() - middle

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="where the datasets lie; BIGGAN_COLORIZE_DATA when left out")
    parser.add_argument("--runs", type=int, default=3, help="number of timings; the median is shown")
    parser.add_argument("-n", type=int, help="number of images of a dataset at most")
    parser.add_argument("-o", "--out", type=Path, help="write the table there too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        found = data_sets(args.data, Path(tmp), args.n)
        measured = [(name, *measure(ds, Path(tmp), args.runs)) for name, ds in found]
        resume, keep = list_times(Path(tmp))
    def minutes(rate, area): return IMAGENET * PIXELS / area / rate / CORES / 60
    lines = ["| images | number | mean pixels | plain, images/s a core | quick, images/s a core | ratio "
             "| scored in full by quick | decisions that differ |", "|---|---|---|---|---|---|---|---|"]
    for name, n, area, plain, quick, full, differ in measured:
        lines.append(f"| {name} | {n:,} | {area:,.0f} | {plain:,.0f} | {quick:,.0f} | {quick / plain:.2f} "
                     f"| {full:.1%} | {differ} |")
    name, _, area, plain, quick, *_ = measured[-1]
    lines += ["", f"Medians of {args.runs} runs in one process, processor time, threshold {COLORFULNESS_THRESHOLD:g}, "
              f"margin {QUICK_MARGIN:g}, Pillow {Image.__version__}.",
              f"ImageNet's {IMAGENET:,} training images on {CORES} cores: {minutes(plain, area):.1f} minutes plain, "
              f"{minutes(quick, area):.1f} quick, if they have {PIXELS:,} pixels on average (about 400×350) and take "
              f"time in proportion to them as the row '{name}' does, if all cores are as fast as this one, and if the "
              f"disk "
              f"delivers {IMAGENET / minutes(quick, area) / 60:,.0f} files a second.",
              f"A list of that size costs {resume:.1f} s to take up again and {keep:.1f} s to read for training."]
    print("\n".join(lines))
    if args.out:
        with atomic_write(args.out) as part: part.write_text("\n".join(lines) + "\n", encoding="utf-8")

if __name__ == "__main__": main()
