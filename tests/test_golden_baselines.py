"""CIC and InstColor against what their original code gives for weights that a rule fills in (the development data's
golden/baselines); the other methods are in test_golden_baselines_more.py.

To add a method: one `Case` a variant in CASES. `states` makes the weight files, {file name: {key: tensor}}; they are
written to a folder and read by `load_baseline`, so the strict loader is tested as well. `outputs` gives {key of io.pth:
what our network gives}; each has to agree to TOLERANCE of the expected output's range, unless `tolerance` has another
number for that key, with its reason."""
from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_colorize.baselines.common import BASELINES, lightness, load_baseline, merge, parameters
from biggan_colorize.color import lab_to_rgb, rgb_to_lab
from biggan_colorize.data import pil_to_tensor
from test_golden import GOLDEN, module

FOLDER = GOLDEN / "baselines"
TOLERANCE = 1e-4  # of the expected output's range; what is asked for is 1e-3
needs_golden = pytest.mark.skipif(not FOLDER.exists(),
                                  reason="the development data's golden/baselines folder is not beside the repository")


@dataclass
class Case:
    name: str             # in BASELINES
    variant: str          # "plain", "gain", …
    states: Callable      # folder, io → {file name: {key: tensor}}
    outputs: Callable     # model, io → {key of io.pth: tensor}
    tolerance: dict = field(default_factory=dict)   # {key of io.pth: share of the range}


def filled(path):
    "{key: tensor} of a file of key names and shapes, filled by the golden folder's own rule."
    return {k: torch.from_numpy(np.asarray(v)) for k, v in module(GOLDEN / "golden_weights.py").fill(path).items()}


# CIC and InstColor: the "gain" variant makes every kernel larger, so that the output depends on the image

def louder(state, gain, also=""):
    "Tensors with two dimensions or more times `gain`; a key that ends in `also` plus 1."
    return {k: v * gain if v.ndim >= 2 else v + 1 if also and k.endswith(also) else v for k, v in state.items()}

def one_file(file, gain=False):
    def states(folder, io):
        state = filled(folder / "keys.json")
        return {file: louder(state, io["gain"]) if gain else state}
    return states

def three_files(gain=False):
    def states(folder, io):
        files = {f"latest_net_{n}.pth": filled(folder / f"keys_{n}.json") for n in ("GComp", "G", "GF")}
        return {f: louder(s, io["gain"], "_conv.4.bias") for f, s in files.items()} if gain else files
    return states

def eccv16(model, io):
    blocks = model.features(io["L"])
    image = Image.fromarray(io["rgb"].numpy())
    return {"L_orig": lightness(image), "L": lightness(image.resize((256, 256), Image.Resampling.BICUBIC)),
            "ab": model(io["L"]), "ab_64": model.model_out(blocks[7].softmax(1)), "logits_s9": blocks[7][..., ::9, ::9],
            "model5_c32": blocks[4][:, ::32]}

def eccv16_gain(model, io):
    blocks = model.features(io["L"])
    ab = model(io["L"])
    photo = pil_to_tensor(model.colorize(Image.fromarray(io["rgb"].numpy())))          # the whole way, in 8 bits
    assert (photo.permute(1, 2, 0) - io["gain_rgb_out"]).abs().max() < 0.55 / 255
    return {"gain_ab": ab, "gain_ab_64": model.model_out(blocks[7].softmax(1)),
            "gain_logits_s5": blocks[7][..., ::5, ::5],
            "gain_model5_c16": blocks[4][:, ::16], "gain_rgb_out": merge(io["L_orig"], ab)[0].permute(1, 2, 0)}

def hint_maps(io):
    "The hints' squares as maps of ab and mask."
    ab, mask = torch.zeros(1, 2, 256, 256), torch.zeros(1, 1, 256, 256)
    for top, left, size, a, b in io["hints"].tolist():
        rows, columns = slice(int(top), int(top + size)), slice(int(left), int(left + size))
        ab[0, 0, rows, columns], ab[0, 1, rows, columns], mask[0, 0, rows, columns] = a, b, 1
    return ab, mask

def siggraph17(model, io): return {"ab": model(io["L"]), "ab_hint_s3": model(io["L"], *hint_maps(io))[..., ::3, ::3]}

def siggraph17_gain(model, io):
    seen = {}
    x = torch.cat([(io["L"] - 50) / 100, torch.zeros(1, 3, 256, 256)], 1)
    ab = 110 * model.run(x, lambda name, f: seen.setdefault(name, f))
    return {"gain_ab": ab, "gain_ab_hint": model(io["L"], *hint_maps(io)), "gain_model5_c16": seen["conv5_3"][:, ::16],
            "gain_model8_c16_s3": seen["conv8_3"][:, ::16, ::3, ::3],
            "gain_class_s9": model.model_class(seen["conv8_3"])[..., ::9, ::9]}

def instcolor_inputs(io):
    "L of the full image and the crops, and where the boxes lie."
    from biggan_colorize.baselines.instcolor import placements
    A = io["A_of_gray"]
    L = 50 + 100 * A[io["gray_full"].long()][None, None]
    crops = 50 + 100 * A[io["gray_crops"].long()][:, None]
    where = placements(io["boxes"].int().tolist(), io["gray"].shape[::-1])
    assert torch.equal(torch.tensor([where[s] for s in (1, 2, 4, 8)]), io["box_info"])
    return L, crops, where

def instcolor(model, io):
    from biggan_colorize.baselines.instcolor import check_boxes, squashed_lightness
    image = Image.fromarray(io["gray"].numpy()).convert("RGB")
    L, crops, where = instcolor_inputs(io)
    ours = torch.cat([squashed_lightness(image),
                      *(squashed_lightness(image.crop(b)) for b in check_boxes(io["boxes"], image.size))])
    assert (ours - torch.cat([L, crops])).abs().max() < 1e-3
    # their Lab: (L - 50) / 100, ab / 110
    unit = torch.tensor([100., 110., 110.])[:, None, None]
    middle = torch.tensor([0.5, 0., 0.])[:, None, None]
    fused = model(L, crops, where)
    return {"cv_lab": rgb_to_lab(io["cv_rgb"]) / unit - middle,
            "cv_rgb2": lab_to_rgb((io["cv_lab2"] + middle) * unit, "clip"),
            "comp_reg_s3": model(L)[..., ::3, ::3] / 110,
            "g_reg_s5": model.G(model.without_hints(crops))[..., ::5, ::5], "fused_reg_s3": fused[..., ::3, ::3] / 110,
            "rgb_out_s5": merge(L, fused)[..., ::5, ::5]}

def instcolor_gain(model, io):
    L, crops, where = instcolor_inputs(io)
    f, maps, fused = model.instance_features(crops), {}, {}
    def note(layer, args, out): maps[layer], fused[layer] = layer.maps(*args)[0], out
    first, fourth = model.GF.weight_layer, model.GF.weight_layer4
    hooks = [layer.register_forward_hook(note) for layer in (first, fourth)]
    ab = model(L, crops, where)
    for h in hooks: h.remove()
    seen = {}
    comp = model.GComp.run(model.without_hints(L), lambda name, f: seen.setdefault(name, f))
    return {"gain_comp_reg": comp, "gain_fused_reg": ab / 110,
            "gain_g_reg_s3": model.G(model.without_hints(crops))[..., ::3, ::3],
            "gain_g_conv7_c32": f["conv7_3"][:, ::32], "gain_g_conv8up_c32_s3": f["conv8_up"][:, ::32, ::3, ::3],
            "gain_g_conv9up_c16_s5": f["conv9_up"][:, ::16, ::5, ::5],
            "gain_g_conv10up_c32_s7": f["conv10_up"][:, ::32, ::7, ::7],
            "gain_maps1_s5": maps[first][..., ::5, ::5], "gain_maps4": maps[fourth],
            "gain_fused4_c16": fused[fourth][:, ::16],
            "gain_comp_class_s9": model.GComp.model_class(seen["conv8_3"])[..., ::9, ::9]}


CASES = [
    Case("cic-eccv16", "plain", one_file("colorization_release_v2-9b330a0b.pth"), eccv16),
    Case("cic-eccv16", "gain", one_file("colorization_release_v2-9b330a0b.pth", gain=True), eccv16_gain),
    Case("cic-siggraph17", "plain", one_file("siggraph17-df00044c.pth"), siggraph17),
    Case("cic-siggraph17", "gain", one_file("siggraph17-df00044c.pth", gain=True), siggraph17_gain),
    Case("instcolor", "plain", three_files(), instcolor),
    Case("instcolor", "gain", three_files(gain=True), instcolor_gain),
]


# The tests, the same for every method

# as FACTS.md counts them
PARAMETERS = {"cic-eccv16": 32_236_011, "cic-siggraph17": 34_187_027, "instcolor": 2 * 34_187_027 + 35_270_831}


def share_off(got, expected):
    "The largest difference, as a share of the expected output's range."
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return ((got - expected).abs().max() / (expected.max() - expected.min()).clamp(min=1e-12)).item()


@needs_golden
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-{c.variant}")
@torch.no_grad()
def test_released_network(case, tmp_path):
    io = torch.load(FOLDER / case.name / "io.pth", weights_only=True)
    for file, state in case.states(FOLDER / case.name, io).items(): torch.save(state, tmp_path / file)
    model = load_baseline(case.name, tmp_path)
    for file in tmp_path.iterdir(): file.unlink()   # hundreds of megabytes
    if case.name in PARAMETERS: assert parameters(model) == PARAMETERS[case.name]
    off = {key: share_off(got, io[key]) for key, got in case.outputs(model, io).items()}
    print("\n" + "\n".join(f"{case.name} {case.variant:5} {key:24} {v:.1e} of the range" for key, v in off.items()))
    worst = {key: v for key, v in off.items() if not v < case.tolerance.get(key, TOLERANCE)}
    assert off and not worst


@needs_golden
def test_every_folder_has_a_record():
    assert {p.name for p in FOLDER.iterdir() if p.is_dir()} == set(BASELINES) >= {c.name for c in CASES}
