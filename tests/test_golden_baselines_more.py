"""DeOldify, ChromaGAN and ToVivid against what their original code gives for weights that a rule fills in (the
development data's golden/baselines), and their 8-bit colour conversions against OpenCV where it is installed.

The bounds are absolute, as each method's FACTS.md gives them: at or below a thousandth of the output's range, and below
what a typical mistake would move."""
import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_colorize.baselines import deoldify, tovivid
from biggan_colorize.baselines.chromagan import ChromaGAN, clipped_rgb, finish, lab_8bit, resize_8bit, torch_state
from biggan_colorize.baselines.common import lightness, load_baseline, load_released, parameters
from biggan_colorize.color import rgb_to_lab
from biggan_colorize.data import pil_to_tensor
from test_golden import GOLDEN, module

FOLDER = GOLDEN / "baselines"
needs_golden = pytest.mark.skipif(not FOLDER.exists(),
                                  reason="the development data's golden/baselines folder is not beside the repository")


def rule(): return module(GOLDEN / "golden_weights.py")

def expected(name): return torch.load(FOLDER / name / "io.pth", weights_only=True)

def filled(path):
    "{key: tensor} of a file of key names and shapes, by the golden folder's own rule."
    return {k: torch.from_numpy(np.asarray(v)) for k, v in rule().fill(path).items()}

def read(name, folder, states):
    "The method from weight files made of `states`, {file name: dictionary}; the files, gigabytes, go at once."
    for file, state in states.items(): torch.save(state, folder / file)
    try: return load_baseline(name, folder)
    finally:
        for file in states: (folder / file).unlink()

def check(got: dict, io: dict, bound: dict):
    """Each tensor of `got` within the bound of its name (or of the longest beginning of it) of the same name in `io`;
    prints the differences."""
    off = {}
    for key, v in got.items():
        assert v.shape == io[key].shape, (key, v.shape, io[key].shape)
        off[key] = (v.float() - io[key].float()).abs().max().item()
    limits = {key: bound[max((b for b in bound if key.startswith(b)), key=len)] for key in off}
    print("\n" + "\n".join(f"{key:45} off by {v:.1e}, allowed {limits[key]:.0e}" for key, v in off.items()))
    assert off and not {key: v for key, v in off.items() if not v <= limits[key]}

@contextmanager
def outputs(modules: dict):
    "{name: list of a module's outputs} while the context lasts."
    seen = {name: [] for name in modules}
    def keep(name): return lambda m, args, out: seen[name].append(out)
    hooks = [m.register_forward_hook(keep(name)) for name, m in modules.items()]
    try: yield seen
    finally:
        for h in hooks: h.remove()


# DeOldify

def turned_once(state):
    "The step that follows the fill: one power iteration for each spectrally normalised layer, in float64."
    for key in [k for k in state if k.endswith("weight_orig")]:
        u, v = key.replace("_orig", "_u"), key.replace("_orig", "_v")
        M = state[key].double().flatten(1)
        right = torch.nn.functional.normalize(M.T @ state[u].double(), dim=0)
        state[u], state[v] = torch.nn.functional.normalize(M @ right, dim=0).float(), right.float()
    return state

DEOLDIFY = {"deoldify-artistic": ("ColorizeArtistic_gen.pth", 63_646_881, 378, 1e-4),
            "deoldify-stable": ("ColorizeStable_gen.pth", 218_222_197, 754, 1e-5)}

@needs_golden
@pytest.mark.parametrize("name", DEOLDIFY)
@torch.no_grad()
def test_deoldify(name, tmp_path):
    file, n_parameters, n_keys, bound = DEOLDIFY[name]
    io = expected(name)
    # as fastai writes it
    model = read(name, tmp_path, {file: {"model": turned_once(filled(FOLDER / name / "keys.json"))}})
    assert (parameters(model), len(model.state_dict())) == (n_parameters, n_keys)
    layers = [m for m in model.modules() if isinstance(m, deoldify.SpectralConv)]
    with outputs({str(i): model.layers[i] for i in (0, 3, 4, 5, 6, 7, 8, 10)}) as seen:
        got = {"output": model(io["input"])}
    got |= {f"layers.{i}": seen[i][0] for i in "035"}
    got |= {f"mean.layers.{i}": seen[i][0].mean((2, 3)) for i in ("4", "5", "6", "7", "8", "10")}
    # 80x112: the nearest resize runs
    got |= {f"output_{size}": model(io[f"input_{size}"]) for size in ("160x160", "80x112")}
    check(got | {"sigma": torch.stack([m.sigma() for m in layers])}, io,
          {"output": bound, "layers": 1e-4, "mean": 1e-5, "sigma": 1e-5})


# ChromaGAN

def keras_value(key, shape):
    "The rule's tensor, scaled as FACTS.md says: Keras' kernels have fan-in in other axes."
    t, last = rule().tensor(key, shape).astype(np.float64), key.split("/")[-1]
    if last == "kernel": t = t * np.sqrt(2 * shape[3] / shape[0] if len(shape) == 4 else shape[1] / shape[0])
    if last == "gamma": t = 1 + t
    if last == "moving_variance": t = 1 + np.abs(t)
    return t.astype(np.float32)

@needs_golden
@torch.no_grad()
def test_chromagan():
    io = expected("chromagan")
    shapes = json.loads((FOLDER / "chromagan" / "keys.json").read_text())
    keras = {k: keras_value(k, shape) for k, shape in shapes.items()}
    first = {"block1_conv1/kernel": -0.02732888, "batch_normalization_1/gamma": 1.06631256,
             "dense_3/kernel": -0.02848839}
    for key, v in first.items():
        shape = keras[key].shape
        scale = 1
        if key.endswith("kernel"): scale = np.sqrt(2 * shape[3] / shape[0] if len(shape) == 4 else shape[1] / shape[0])
        assert abs(keras[key].flat[0] - v * scale) < 1e-6, key
    with torch.device("meta"): model = ChromaGAN()
    load_released(model, torch_state(keras), "the golden weights", "chromagan")
    del keras
    names = ("block4_conv3", "batch_normalization_4", "batch_normalization_6", "dense_3", "conv2d_12", "conv2d_13",
             "conv2d_15", "conv2d_16")
    with outputs({n: model.get_submodule(n) for n in names}) as seen: ab = model(io["input"])
    h = {n: (v[0].relu() if "conv" in n else v[0]) for n, v in seen.items()}
    mean = {n: v.mean((2, 3)) for n, v in h.items() if v.ndim == 4}
    check({"output": ab, "class": model.classify(io["input"]), "trunk": h["block4_conv3"][:, :64],
           "midlevel": h["batch_normalization_6"][:, :64], "global": h["dense_3"],
           "batch_normalization_4": h["batch_normalization_4"], "conv2d_13": h["conv2d_13"],
           "mean.trunk": mean["block4_conv3"]}
          | {f"mean.{n}": mean[n] for n in ("batch_normalization_6", "conv2d_12", "conv2d_15", "conv2d_16")},
          io, {"": 2e-5, "output": 1e-5, "class": 1e-6})


# ToVivid

# channels and every how many-th pixel io.pth holds of a map of that size
STRIDES = {64: (4, 1), 128: (8, 3), 256: (8, 5)}
PARTS = {"E": "E", "G": "G", "D": "D", "corr": "net_corr", "gen": "net_gen"}
BOUNDS = {"z": 1e-5, "rgb": 1e-5, "feat": 1e-5, "dL": 1e-5, "dref": 1e-5, "theta": 1e-3, "phi": 1e-3, "corr": 1e-3,
          "warp": 2e-4, "ab": 1e-4, "fake_rgb": 1e-3, "alt": 1e-5, "shift": 1e-5,
          "stats.": 1e-5, "stats.corr": 1e-3, "stats.warp": 2e-4, "stats.gen": 1e-3, "stats.ab": 1e-4,
          "stats.fake_rgb": 1e-3, "img": 1e-4, "img.lab": 0.01, "img.merged": 1e-3}

def part_of(maps, size):
    channels, stride = STRIDES[size]
    return maps[:, :channels, ::stride, ::stride]

def statistics(x):
    "Mean and unbiased deviation over places, (2,C)."
    return torch.stack([x.mean((0, 2, 3)), x.std((0, 2, 3))])

def stat_modules(model, io):
    "{name in io.pth without `.q` or `.ref`: our module}."
    names = {k.removeprefix("stats.").removesuffix(".q").removesuffix(".ref") for k in io
             if k.startswith("stats.") and k.split(".")[1] in PARTS}
    def ours(name):
        part, _, rest = name.partition(".")
        return model.get_submodule(f"{PARTS[part]}.{'output_layer' if rest == 'pre_tanh' else rest}")
    return {n: ours(n) for n in sorted(names)}

def tovivid_states():
    E, G, D, corr, gen = (filled(FOLDER / "tovivid" / f"keys_{n}.json") for n in PARTS)
    return {"biggan_E.pth": E, "biggan_G_ema_256.pth": G, "biggan_D_256.pth": D,
            "colorization_model.pth": {"net_corr": corr, "net_gen": gen}}

@needs_golden
@torch.no_grad()
def test_tovivid(tmp_path):
    io, model = expected("tovivid"), read("tovivid", tmp_path, tovivid_states())
    counted = {n: parameters(model.get_submodule(p)) for n, p in PARTS.items()}
    assert counted == {"E": 45_210_937, "G": 82_108_548, "D": 99_225_890, "corr": 24_165_716, "gen": 60_163_523}
    L, y = io["L"], io["label"]
    watched = stat_modules(model, io)
    with outputs(watched | {"described": model.D}) as seen: s = model.steps(L, y)
    got = {k: s[k] for k in ("z", "rgb", "ab")} | {f"stats.{k}": statistics(s[k]) for k in ("rgb", "ab")}
    for kind, maps in (("feat", s["features"]), ("warp", s["warped"])):
        for size, m in zip(STRIDES, maps):
            assert list(m.shape) == io[f"{kind}{size}.shape"].tolist()
            got |= {f"{kind}{size}": part_of(m, size), f"stats.{kind}{size}": statistics(m)}
    for name, d in zip(("dL", "dref"), seen.pop("described")):
        got |= {f"{name}64": d[:, :2], f"{name}32": d[:, 192:196, ::2, ::2]}
    for name, calls in seen.items():
        if len(calls) == 1: got[f"stats.{name}"] = statistics(calls[0])
        else: got |= {f"stats.{name}.{which}": statistics(out) for which, out in zip(("q", "ref"), calls, strict=True)}
    got |= {"theta": seen["corr.theta"][0][:, :2], "phi": seen["corr.phi"][0][:, :2]}
    corr, image = s["corr"][0], tovivid.warp(s["corr"], s["rgb"], 64)
    assert torch.equal(corr.argmax(1), io["corr.argmax"].long())
    fake = clipped_rgb(torch.cat([50 * L + 50, 110 * s["ab"]], 1))
    got |= {"corr": corr[io["corr.rows"]], "corr.max": corr.amax(1), "warp_image": image[..., ::3, ::3],
            "stats.warp_image": statistics(image),
            "fake_rgb": fake[..., ::3, ::3], "stats.fake_rgb": statistics(fake)}
    got["shift.rgb"] = tovivid.prior(model.G, s["z"] + io["shift"], y)[0][..., ::5, ::5]
    photo = Image.fromarray(io["img"].numpy())
    merged = tovivid.finish(photo, io["ab"])                                        # in 8 bits
    assert (pil_to_tensor(merged)[None, ..., ::2] - io["img.merged"]).abs().max() < 0.5 / 255 + 1e-3
    got |= {"img.L256": lightness(photo.resize((256, 256), Image.Resampling.BILINEAR))[..., ::3, ::3] / 50 - 1,
            "img.Lfull": lightness(photo) / 50 - 1,
            "img.lab": rgb_to_lab(pil_to_tensor(photo)[None])[..., ::4]}
    # the two class tables are two
    model.E.shared.weight.copy_(torch.from_numpy(rule().tensor("E.shared.weight", [1000, 128])))
    got |= {"alt.z": (z := model.E(L, y)), "alt.rgb": tovivid.prior(model.G, z, y)[0][..., ::5, ::5]}
    left = {k for k in io if k.startswith("stats.")} - set(got)
    assert not left, left
    check(got, io, BOUNDS)


# Against OpenCV

@pytest.fixture
def cv2(): return pytest.importorskip("cv2", reason="OpenCV is not installed (pip install opencv-python-headless)")

def steps(a, b):
    "Largest difference of 8-bit arrays in steps, and the share of values that differ."
    d = np.abs(np.asarray(a, np.int64) - np.asarray(b, np.int64))
    return d.max(), (d > 0).mean()

def planes(x): return torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None].float()

def levels(x): return x[0].round().permute(1, 2, 0).byte().numpy()

def test_yuv_is_opencvs(cv2):
    "Every one of the 16.7 million colours, there and back."
    a = np.empty((256, 256, 3), np.uint8)
    a[..., 1], a[..., 2] = np.arange(256)[:, None], np.arange(256)
    for first in range(256):
        a[..., 0] = first
        assert np.array_equal(deoldify.rgb_to_yuv(a), cv2.cvtColor(a, cv2.COLOR_RGB2YUV))
        assert np.array_equal(deoldify.yuv_to_rgb(a), cv2.cvtColor(a, cv2.COLOR_YUV2RGB))

def test_8bit_lab_is_nearly_opencvs(cv2):
    rs = np.random.RandomState(0)
    rgb = rs.randint(0, 256, (1000, 1000, 3)).astype(np.uint8)
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    most, share = steps(levels(lab_8bit(planes(rgb) / 255)), theirs)
    print(f"\nto Lab: {share:.1%} of the values differ, by {most} at most")
    assert most <= 2 and share < 0.15
    lab = rs.randint(0, 256, (1000, 1000, 3)).astype(np.uint8)                       # most of them no screen's colours
    x = (planes(lab) - torch.tensor([0, 128, 128])[:, None, None]) * torch.tensor([1 / 2.55, 1, 1])[:, None, None]
    most, share = steps(levels(255 * clipped_rgb(x)), cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    print(f"from Lab: {share:.1%} of the values differ, by {most} at most")
    assert most <= 3 and share < 0.1

def test_8bit_resize_is_nearly_opencvs(cv2):
    image = np.random.RandomState(0).randint(0, 256, (300, 451, 3)).astype(np.uint8)
    for H, W in ((224, 224), (600, 700), (100, 80)):
        most, share = steps(levels(resize_8bit(planes(image), (H, W))), cv2.resize(image, (W, H)))
        print(f"\nto {W}×{H}: {share:.1%} of the values differ, by {most} at most")
        assert most <= 1

def test_chromagan_end_is_nearly_opencvs(cv2):
    "From ab to the photograph as the published program goes, in its own order."
    rs = np.random.RandomState(0)
    image = cv2.GaussianBlur(rs.randint(0, 256, (120, 180, 3)).astype(np.uint8), (0, 0), 3)
    ab = rs.uniform(0.4, 0.6, (224, 224, 2)).astype(np.float32)
    L = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., :1]
    theirs = cv2.cvtColor(np.concatenate([L, cv2.resize((ab * 255).clip(0, 255).astype(np.uint8), (180, 120))], 2),
                          cv2.COLOR_LAB2RGB)
    ours = np.asarray(finish(Image.fromarray(image), planes(ab)))
    # one step of ab can be many of a channel that is nearly 0
    d = np.abs(ours.astype(int) - theirs)
    print(f"\n{(d > 0).mean():.1%} of the values differ, {(d > 4).mean():.2%} by more than 4 steps, "
          f"{d.mean():.2f} on average")
    assert d.mean() < 0.5 and (d > 4).mean() < 0.005
