"""Writes tests/golden/small.safetensors: inputs and outputs of small networks, computed without biggan_colorize.
BigGAN's generator and discriminator and the paper's encoder are written out below as plain functions of a
dictionary of arrays, in float64, from their published description (Brock et al. 2019; §2 of the paper). Only
convolution is borrowed (torch). The weights are not stored: `fill` makes them from their names and shapes.
`python tests/make_golden.py` writes the file anew."""
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

FILE = Path(__file__).parent / "golden" / "small.safetensors"
G_WIDTHS = {32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2)}
D_WIDTHS = {32: (4, 4, 4, 4), 64: (1, 2, 4, 8, 16)}
D_HALVES = {32: (1, 1, 0, 0), 64: (1, 1, 1, 1, 0)}
CH, CHUNK, EMBEDDING, CLASSES = 4, 3, 5, 4
ATTENTION = {32: 16, 64: 16}     # at 64 it lies behind the cut
ENCODER = ((2, 0), (4, 1), (8, 1), (64, 1), (64, 0))  # 64 pixels to 8×8: width after each block, and whether it halves


# Weights: the authors' key names with shapes, and a rule that fills them

def normed(key, rows, columns, size=None, bias=True):
    "Keys of a layer under spectral norm; `size` for a convolution."
    keys = {f"{key}.weight": (rows, columns) + (size, size) * (size is not None), f"{key}.u0": (1, rows),
            f"{key}.sv0": (1,)}
    return keys | ({f"{key}.bias": (rows,)} if bias else {})


def attention_keys(key, n):
    shapes = {"theta": (n // 8, n), "phi": (n // 8, n), "g": (n // 2, n), "o": (n, n // 2)}
    keys = {f"{key}.gamma": ()}
    for name, (o, i) in shapes.items(): keys |= normed(f"{key}.{name}", o, i, 1, bias=False)
    return keys


def generator_keys(r):
    ch, told = [w * CH for w in G_WIDTHS[r]], EMBEDDING + CHUNK
    keys = {"shared.weight": (CLASSES, EMBEDDING)} | normed("linear", 16 * ch[0], CHUNK)
    for b, (i, o) in enumerate(zip(ch, ch[1:])):
        block = f"blocks.{b}.0"
        keys |= normed(f"{block}.conv1", o, i, 3) | normed(f"{block}.conv2", o, o, 3)
        keys |= normed(f"{block}.conv_sc", o, i, 1)
        for n, c in ((1, i), (2, o)):
            keys |= {f"{block}.bn{n}.stored_mean": (c,), f"{block}.bn{n}.stored_var": (c,),
                     f"{block}.in{n}.weight": (c,), f"{block}.in{n}.bias": (c,)}
            for part in ("gain", "bias"): keys |= normed(f"{block}.bn{n}.{part}", c, told, bias=False)
        if 8 * 2**b == ATTENTION[r]: keys |= attention_keys(f"blocks.{b}.1", o)
    keys |= {f"output_layer.0.{k}": (ch[-1],) for k in ("gain", "bias", "stored_mean", "stored_var")}
    return keys | normed("output_layer.2", 3, ch[-1], 3)


def discriminator_keys(r):
    ch, size, keys = [3] + [w * CH for w in D_WIDTHS[r]], r, {}
    for b, (i, o, halve) in enumerate(zip(ch, ch[1:], D_HALVES[r])):
        keys |= normed(f"blocks.{b}.0.conv1", o, i, 3) | normed(f"blocks.{b}.0.conv2", o, o, 3)
        if halve or i != o: keys |= normed(f"blocks.{b}.0.conv_sc", o, i, 1)
        size = size // 2 if halve else size
        if halve and size == ATTENTION[r]: keys |= attention_keys(f"blocks.{b}.1", o)
    return keys | normed("linear", 1, ch[-1]) | normed("embed", CLASSES, ch[-1], bias=False)


def encoder_keys():
    keys, i = {}, 1
    for b, (o, _) in enumerate(ENCODER, start=1):
        for name, (rows, columns, size) in {"conv": (o, i, 1), "conv_1": (o, i, 3), "conv_2": (o, o, 3)}.items():
            keys |= {f"res{b}.{name}.weight": (rows, columns, size, size), f"res{b}.{name}.bias": (rows,)}
        for n, c in ((1, i), (2, o)):
            keys |= {f"res{b}.normalize_{n}.{k}": (c,) for k in ("stored_mean", "stored_var")}
            keys |= {f"res{b}.normalize_{n}.{k}.weight": (c, EMBEDDING) for k in ("gain", "bias")}
        i = o
    return keys


def fill(shapes):
    "{key: shape} → {key: float32 array}: whole-number noise from the key's checksum, the same on every machine."
    state = {}
    for key, shape in shapes.items():
        n = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(zlib.crc32(key.encode()) << 16)
        for _ in range(3): n = ((n ^ (n >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD))
        u = (n >> np.uint64(40)).astype(np.float64).reshape(shape) / 2**23 - 1        # uniform in [-1, 1)
        last = key.rsplit(".", 1)[-1]
        if last == "sv0": u = np.ones(shape)
        elif last == "stored_var": u = 1 + 0.3 * u
        elif last == "gamma": u = 0.8 + 0.1 * u
        elif len(shape) < 2: u = (last == "gain") + 0.2 * u                           # biases, means, gains
        elif last == "weight": u = u * (3 / np.prod(shape[1:]))**0.5
        state[key] = np.asarray(u, np.float32)
    return state


# The networks, in float64

def unit(v): return v / np.linalg.norm(v)

def over_sigma(p, key):
    "A weight divided by its largest singular value, estimated by one step of the power method from u0."
    W = p[key + ".weight"]
    M = W.reshape(len(W), -1)
    v = unit(p[key + ".u0"][0] @ M)
    u = unit(M @ v)
    return W / (u @ M @ v)


def conv(x, W, b=None):
    "A convolution that keeps the size."
    out = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(W), padding=W.shape[-1] // 2).numpy()
    return out if b is None else out + b[:, None, None]

def sn_conv(p, key, x): return conv(x, over_sigma(p, key), p.get(key + ".bias"))
def relu(x): return np.maximum(x, 0)
def double(x): return x.repeat(2, axis=2).repeat(2, axis=3)
def squares(x): return x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2)
def halve(x): return squares(x).mean((3, 5))

def norm(p, key, x, eps, scale, bias):
    "Batch norm by the stored statistics; scale and bias (B,C) or (C,)."
    x = (x - p[key + ".stored_mean"][:, None, None]) / np.sqrt(p[key + ".stored_var"][:, None, None] + eps)
    return scale[..., None, None] * x + bias[..., None, None]


def attend(p, key, x):
    flat = lambda v: v.reshape(*v.shape[:2], -1)
    query = sn_conv(p, key + ".theta", x)
    key_, value = (squares(sn_conv(p, f"{key}.{name}", x)).max((3, 5)) for name in ("phi", "g"))
    score = np.einsum("bcp,bcq->bpq", flat(query), flat(key_))
    weight = np.exp(score - score.max(2, keepdims=True))
    out = np.einsum("bpq,bcq->bcp", weight / weight.sum(2, keepdims=True), flat(value))
    return x + p[key + ".gamma"] * sn_conv(p, key + ".o", out.reshape(*out.shape[:2], *x.shape[2:]))


def blocks_from(p, r, f, e, z, start):
    "From the feature map in front of block `start` to the picture in [-1, 1]."
    for b in range(start, len(G_WIDTHS[r]) - 1):
        told, block = np.concatenate([e, z[:, (b + 1) * CHUNK:(b + 2) * CHUNK]], 1), f"blocks.{b}.0"
        def cbn(n, h):
            return norm(p, f"{block}.bn{n}", h, 1e-4, 1 + told @ over_sigma(p, f"{block}.bn{n}.gain").T,
                        told @ over_sigma(p, f"{block}.bn{n}.bias").T)
        h = sn_conv(p, f"{block}.conv1", double(relu(cbn(1, f))))
        h = sn_conv(p, f"{block}.conv2", relu(cbn(2, h)))
        f = h + sn_conv(p, f"{block}.conv_sc", double(f))
        if f"blocks.{b}.1.gamma" in p: f = attend(p, f"blocks.{b}.1", f)
    f = relu(norm(p, "output_layer.0", f, 1e-5, p["output_layer.0.gain"], p["output_layer.0.bias"]))
    return np.tanh(sn_conv(p, "output_layer.2", f))


def generate(p, r, z, y):
    "z and classes → picture."
    f = z[:, :CHUNK] @ over_sigma(p, "linear").T + p["linear.bias"]
    return blocks_from(p, r, f.reshape(len(z), -1, 4, 4), p["shared.weight"][y], z, 0)


def discriminate(p, r, x, y):
    "Picture in [-1, 1] and classes → scores (B,1)."
    for b, down in enumerate(D_HALVES[r]):
        block, shrink = f"blocks.{b}.0", halve if down else lambda v: v
        h = sn_conv(p, f"{block}.conv2", relu(sn_conv(p, f"{block}.conv1", relu(x) if b else x)))
        short = sn_conv(p, f"{block}.conv_sc", x) if f"{block}.conv_sc.weight" in p else x
        x = shrink(h) + shrink(short)
        if f"blocks.{b}.1.gamma" in p: x = attend(p, f"blocks.{b}.1", x)
    h = relu(x).sum((2, 3))
    return (h @ over_sigma(p, "linear").T + p["linear.bias"]) + (over_sigma(p, "embed")[y] * h).sum(1, keepdims=True)


def encode(p, x_gray, e):
    "Gray picture and class embedding → feature map."
    f = x_gray
    for b, (_, down) in enumerate(ENCODER, start=1):
        shrink = halve if down else lambda v: v
        def cbn(n, h):
            return norm(p, f"res{b}.normalize_{n}", h, 1e-5, 1 + e @ p[f"res{b}.normalize_{n}.gain.weight"].T,
                        e @ p[f"res{b}.normalize_{n}.bias.weight"].T)
        h = conv(shrink(relu(cbn(1, f))), p[f"res{b}.conv_1.weight"], p[f"res{b}.conv_1.bias"])
        h = conv(relu(cbn(2, h)), p[f"res{b}.conv_2.weight"], p[f"res{b}.conv_2.bias"])
        f = h + conv(shrink(f), p[f"res{b}.conv.weight"], p[f"res{b}.conv.bias"])
    return f


# The small pair: the colorizer at 64 pixels, cut at 8, and generator and discriminator at 32

def states():
    "The four files, in the authors' format: E and G of 64 pixels in one, D of 64, G and D of 32."
    EG = {f"E.{k}": s for k, s in encoder_keys().items()} | {f"G.{k}": s for k, s in generator_keys(64).items()}
    return {"EG64": fill(EG), "D64": fill(discriminator_keys(64)), "G32": fill(generator_keys(32)),
            "D32": fill(discriminator_keys(32))}


def outputs():
    "Inputs and expected outputs; the float64 results are rounded to float32."
    EG, D64, G32, D32 = ({k: v.astype(np.float64) for k, v in s.items()} for s in states().values())
    E, G64 = ({k[2:]: v for k, v in EG.items() if k[0] == part} for part in "EG")
    rng = fill({"gray": (1, 1, 64, 64), "z64": (1, 5 * CHUNK), "z32": (2, 4 * CHUNK)})   # uniform
    gray8 = np.round(255 * (rng["gray"] + 1) / 2 * np.linspace(0.2, 1, 64)).astype(np.uint8)
    z64, z32 = (2 * rng[k].astype(np.float64) for k in ("z64", "z32"))
    y64, y32 = np.array([2]), np.array([3, 1])
    e = G64["shared.weight"][y64]
    f = encode(E, gray8 / 255, e)
    x64, x32 = blocks_from(G64, 64, f, e, z64, 1), generate(G32, 32, z32, y32)
    out = {"z64": z64, "feature64": f, "x_hat64": x64, "score64": discriminate(D64, 64, x64, y64),
           "z32": z32, "x_hat32": x32, "score32": discriminate(D32, 32, x32, y32)}
    return {"gray64_8bit": gray8, "y64": y64, "y32": y32} | {k: v.astype(np.float32) for k, v in out.items()}


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    save_file(outputs(), FILE)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
