"""A 3×3 convolution as torch computes it and in Winograd's form, by its number of channels: the layers of the paper's
generator at 256 pixels.

    python benchmarks/winograd.py         # writes figures/winograd.md and .json"""
import torch
from common import medians, write_table
from torch import nn
from torch.nn import functional as F

from biggan_colorize.biggan import widened
from biggan_colorize.fuse import Winograd
from biggan_colorize.precision import device_name

def pair(C, size, doubled, dtype):
    "The direct form and Winograd's of one convolution of C channels, and a map of C×size×size."
    conv = nn.Conv2d(C, C, 3, padding=1)
    direct = conv
    if doubled:
        direct = nn.ConvTranspose2d(C, C, 4, stride=2, padding=1)
        direct.weight, direct.bias = nn.Parameter(widened(conv.weight).flip(2, 3).transpose(0,
                1).contiguous()), conv.bias
    x = torch.randn(1, C, size, size).relu()
    want = conv(F.interpolate(x, scale_factor=2) if doubled else x)
    forms = [direct, Winograd(conv, doubled)]
    for form in forms: torch.testing.assert_close(form(x), want, atol=1e-4, rtol=0)
    return [form.to(dtype=dtype, memory_format=torch.channels_last) for form in forms], x.to(dtype=dtype,
            memory_format=torch.channels_last)

@torch.no_grad()
def main(repetitions=15):
    torch.manual_seed(0)
    rows = []
    for doubled in (False, True):
        for C, size in ((96, 256), (192, 128), (384, 64), (768, 32)):
            row = {"doubled": doubled, "channels": C, "size": size}
            for dtype in (torch.float32, torch.bfloat16):
                (direct, ours), x = pair(C, size // (1 + doubled), doubled, dtype)
                row[str(dtype)[6:]] = medians([lambda: direct(x), lambda: ours(x)], repetitions)
            rows.append(row)
    cells = [["convolution", "channels", "pixels",
              *(f"{dtype}: {what}" for dtype in ("float32", "bfloat16")
                for what in ("direct (ms)", "Winograd (ms)", "times as fast"))]]
    def times(direct, winograd): return [f"{1e3*direct:.1f}", f"{1e3*winograd:.1f}", f"{direct/winograd:.2f}"]
    cells += [["behind nearest upsampling" if r["doubled"] else "plain", str(r["channels"]),
               f"{r['size']}×{r['size']}", *times(*r["float32"]), *times(*r["bfloat16"])] for r in rows]
    write_table("winograd", cells,
                f"One image; as many channels out as in; direct: torch's convolution, behind upsampling the 4×4 "
                f"transposed one of stride 2. Medians of {repetitions} repetitions "
                f"in turns on {device_name()}.", rows=rows)

if __name__ == "__main__": main()
