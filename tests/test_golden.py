"""The networks against outputs that others computed: a small pair of the project's own, and the development data's
golden files where they are."""
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from biggan_colorize.biggan import UNUSED, Discriminator, Generator, read_torch_file
from biggan_colorize.colorizer import Colorizer

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent.parent / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(),
                                  reason="the development data's golden folder is not beside the repository")


def module(path):
    "A Python file as a module."
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(m := importlib.util.module_from_spec(spec))
    return m


def off(a, b):
    "Largest absolute difference."
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@pytest.fixture(scope="module")
def small(): return load_file(HERE / "golden" / "small.safetensors")

@pytest.fixture(scope="module")
def make(): return module(HERE / "make_golden.py")

@pytest.fixture(scope="module")
def files(make): return {name: {k: torch.from_numpy(v) for k, v in s.items()} for name, s in make.states().items()}


@pytest.fixture
def load(tmp_path):
    "A state dictionary through a file and the class's own loader."
    def load(cls, state, **kwargs):
        torch.save(state, tmp_path / "weights.pth")
        return cls.from_official(tmp_path / "weights.pth", **kwargs)
    return load


@torch.no_grad()
def run(name, net, io):
    "What a network gives for the small pair's inputs."
    if name == "EG64":
        return [net.encode(io["gray64_8bit"] / 255, io["y64"]), net(io["gray64_8bit"] / 255, io["y64"], io["z64"])]
    if name == "G32": return [net(io["z32"], io["y32"])]
    return [net(io["x_hat" + name[1:]], io["y" + name[1:]])]

CLASSES = {"EG64": Colorizer, "D64": Discriminator, "G32": Generator, "D32": Discriminator}
EXPECTED = {"EG64": ("feature64", "x_hat64"), "D64": ("score64",), "G32": ("x_hat32",), "D32": ("score32",)}


def test_small_file_is_what_the_formulas_give(small, make):
    again = make.outputs()
    assert sorted(again) == sorted(small)
    for k, v in again.items(): assert np.abs(v.astype(np.float64) - small[k].numpy()).max() < 1e-6, k
    assert make.FILE.stat().st_size < 100_000
    # a picture, not a constant
    assert small["x_hat64"].std() > 0.1 and small["x_hat32"].std() > 0.1 and small["x_hat32"].abs().max() < 0.999


@pytest.mark.parametrize("name", CLASSES)
def test_small(name, small, files, load):
    net = load(CLASSES[name], files[name])
    for got, key in zip(run(name, net, small), EXPECTED[name], strict=True): assert off(got, small[key]) < 1e-4, key


def counts(key, v):
    """Whether an output may depend on this tensor: a spare one it does not, nor on the direction of a vector of one
    number."""
    return not UNUSED.search(key) and not (key.endswith("u0") and v.numel() == 1)


@pytest.mark.parametrize("name", CLASSES)
def test_every_tensor_counts(name, small, files, load):
    "Whichever tensor is disturbed, the small pair notices it; a spare one may be anything."
    state, outputs = files[name], [small[k] for k in EXPECTED[name]]
    net = load(CLASSES[name], state)
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    unnoticed = []
    for key, v in tensors.items():
        kept, g = v.detach().clone(), torch.Generator().manual_seed(0)
        with torch.no_grad(): v.add_(torch.randn(v.shape, generator=g).abs())
        if max(off(a, b) for a, b in zip(run(name, net, small), outputs)) < 1e-3 and counts(key, v):
            unnoticed.append(key)
        with torch.no_grad(): v.copy_(kept)
    assert not unnoticed
    spared = load(CLASSES[name], {k: torch.full_like(v, 7.) if UNUSED.search(k) else v for k, v in state.items()})
    for a, b in zip(run(name, spared, small), run(name, net, small)): assert torch.equal(a, b)


@pytest.mark.parametrize("name", CLASSES)
def test_lost_and_renamed_keys(name, files, load):
    "Any key that is used and not there, or there by another name, is an error in one line."
    used = [k for k in files[name] if not UNUSED.search(k)]
    if name == "EG64": used = used[::7]   # its loader goes through a file each time
    cls = CLASSES[name]
    read = (lambda s: load(cls, s)) if name == "EG64" else cls.from_state
    for key in used:
        lost = {k: v for k, v in files[name].items() if k != key}
        for state in (lost, lost | {key + "_": files[name][key]}):
            with pytest.raises(ValueError) as error: read(state)
            assert "\n" not in str(error.value)


def test_swapped_layers_are_noticed(small, files, load):
    "Two layers of the same shape exchanged: every key fits, and only the output can tell."
    state = dict(files["G32"])
    a, b = "blocks.0.0.conv1.weight", "blocks.0.0.conv2.weight"
    state[a], state[b] = state[b], state[a]
    assert off(run("G32", load(Generator, state), small)[0], small["x_hat32"]) > 1e-3


# The development data

@torch.no_grad()
def compare(model, io, key="rgb"):
    assert off(model(io["gray"], io["label"], io["z"]), io[key]) < 1e-4
    if key == "rgb": assert off(model.encode(io["gray"], io["label"]), io["feature"]) < 1e-4


@needs_golden
@pytest.mark.parametrize("name, feature_resolution", [("f16", None), ("f32_wide", 32)])
def test_authors_colorizer(name, feature_resolution):
    io = torch.load(GOLDEN / f"{name}_io.pth", weights_only=True)
    compare(Colorizer.from_official(GOLDEN / f"{name}_EG.pth", feature_resolution=feature_resolution), io)


@needs_golden
@pytest.mark.parametrize("name", ["f16", "f32_wide"])
def test_authors_generator_from_z(name):
    io = torch.load(GOLDEN / f"{name}_io.pth", weights_only=True)
    state = read_torch_file(GOLDEN / f"{name}_EG.pth")
    G = Generator.from_state({k[2:]: v for k, v in state.items() if k.startswith("G.")})
    with torch.no_grad(): assert off(G(io["z"], io["label"]), io["g_z_full"]) < 1e-4


@needs_golden
def test_authors_averaged_parameters():
    io = torch.load(GOLDEN / "f16_io.pth", weights_only=True)
    compare(Colorizer.from_official(GOLDEN / "f16_EG.pth", ema=GOLDEN / "f16_EG_EMA.pth"), io, "ema_rgb")
    assert off(io["ema_rgb"], io["rgb"]) > 1e-3   # the two are told apart


@needs_golden
def test_authors_discriminator():
    io = torch.load(GOLDEN / "f16_io.pth", weights_only=True)
    with torch.no_grad():
        assert off(Discriminator.from_official(GOLDEN / "f16_D.pth")(io["rgb"], io["label"]), io["d_logit"]) < 1e-4


@needs_golden
def test_authors_full_width(load):
    "Width 96 with 1,000 classes, filled by the golden folder's own rule (about 1 GB of memory)."
    rule, folder = module(GOLDEN / "golden_weights.py"), GOLDEN / "bigcolor-256-f16"
    def filled(keys): return {k: torch.from_numpy(v) for k, v in rule.fill(folder / keys).items()}
    io = torch.load(folder / "io.pth", weights_only=True)
    model = load(Colorizer, filled("EG_keys.json"))
    assert sum(p.numel() for p in model.E.parameters()) == 23_069_344
    compare(model, io)
    del model
    D = Discriminator.from_state(filled("D_keys.json"))
    assert sum(p.numel() for p in D.parameters()) == 99_191_330
    with torch.no_grad(): assert off(D(io["rgb"], io["label"]), io["d_logit"]) < 1e-4
