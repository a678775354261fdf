"""A training step: recorded as a graph it is the eager step, its spectral norms are found once an update, and it
computes in what the hardware has."""
import contextlib, os, subprocess, sys, warnings
from unittest.mock import patch

import pytest
import torch

from biggan_colorize import biggan, train
from biggan_colorize.baselines.mini import MINI_METHODS, mini_method, mini_preset
from biggan_colorize.biggan import SpectralNorm
from biggan_colorize.colorizer import Colorizer
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.fuse import fuse
from biggan_colorize.graphs import Captured, TapeGraph
from biggan_colorize.precision import has_bfloat16
from biggan_colorize.presets import get_preset
from biggan_colorize.runs import Process, RunOptions, checkpoints
from biggan_colorize.train import TRAINERS, JointTrainer, ema_decay

IMAGES = load_arrays(photo_patches(64, 32))[0]   # bytes
LABELS = torch.zeros(64, dtype=torch.int64)
RECORDED = RunOptions(graph=TapeGraph)
CLASSES = ["n01443537", "n02123045", "n09256479"]

def steps(trainer, n, start=0):
    "n steps on batches of 8, with a lower learning rate from the third on."
    for k in range(start, start + n):
        trainer.set_epoch(k // 3)
        at = torch.arange(8) + 8 * (k % 8)
        losses = trainer.step(IMAGES[at], LABELS[at])
    return {k: v.item() for k, v in losses.items()}

def weights(trainer):
    return {f"{part}.{k}": v for part in ("model", "D", "ema") for k, v in getattr(trainer, part).state_dict().items()}

def assert_equal(a, b):
    assert a.keys() == b.keys()
    for k in a: assert torch.equal(a[k], b[k]), k

# ---- recorded

CASES = {
    "joint": ("nano", {"model.dropout": 0.1}, 1),
    "joint, in two parts": ("nano", {}, 2),
    "joint in bfloat16": ("nano", {"precision": "bfloat16"}, 1),
    "prior, augmented": ("nano-prior", {"augment": "color,translation,cutout"}, 1),
    "prior, projected and guided": ("nano-prior",
                                    {"projected": 64, "start": "spread", "guidance": 0.1, "model.n_classes": 3}, 1),
    "D joins in later": ("nano", {"discriminator_from": 40}, 1)}

@pytest.mark.parametrize("preset, settings, accumulate", CASES.values(), ids=CASES)
def test_a_recorded_step_is_the_eager_step(preset, settings, accumulate):
    """Ten steps, bit for bit: what is recorded holds no learning rate, no decay and no random number of the step that
    it was recorded at."""
    p = get_preset(preset, settings)
    recorded, eager = (TRAINERS[p.stage](p, CLASSES[:p.model.n_classes],
                                         options=RunOptions(accumulate=accumulate, graph=TapeGraph)) for _ in range(2))
    eager.captured = Captured(eager.updates, "cpu", None, "to compare")
    assert steps(recorded, 10) == steps(eager, 10)
    assert recorded.captured.mode == "captured graph" and recorded.captured.calls > recorded.captured.WARM
    assert_equal(weights(recorded), weights(eager))

def test_learning_rates_as_numbers_give_the_same_step():
    "As a CPU has them: Adam in its plain form instead of the fused one, to rounding."
    plain, recorded = JointTrainer(get_preset("nano")), JointTrainer(get_preset("nano"), options=RECORDED)
    assert "eager" in plain.captured.mode and isinstance(recorded.opt_G.param_groups[0]["lr"], torch.Tensor)
    a, b = steps(plain, 4), steps(recorded, 4)
    assert a == pytest.approx(b, rel=1e-3)

@pytest.mark.parametrize("before, after", [(True, False), (False, True)],
                         ids=["recorded, then eager", "eager, then recorded"])
def test_a_run_goes_on_from_a_checkpoint_of_the_other_kind(before, after, tmp_path):
    "The file has what the other way of computing needs."
    first, second = (JointTrainer(get_preset("nano"), options=RECORDED if kind else RunOptions(graph=False))
                     for kind in (before, after))
    steps(first, 5)
    first.save(tmp_path)
    second.load(checkpoints(tmp_path)[-1])
    assert_equal(weights(first), weights(second))
    for group in (*second.opt_G.param_groups, *second.opt_D.param_groups):
        assert isinstance(group["lr"], torch.Tensor) == bool(group["fused"]) == after
    a, b = steps(first, 2, 5), steps(second, 2, 5)
    assert a == pytest.approx(b, rel=1e-3)

def test_a_recorded_run_stops_and_goes_on_bit_for_bit(tmp_path):
    """In a fresh trainer, and in one that has recorded a step of its own, whose optimizer's tensors the checkpoint
    replaces."""
    whole, first, second, used = (JointTrainer(get_preset("nano"), options=RECORDED) for _ in range(4))
    steps(whole, 9)
    steps(first, 5)
    first.save(tmp_path)
    steps(used, 7)
    for trainer in (second, used):
        trainer.load(checkpoints(tmp_path)[-1])
        steps(trainer, 4, 5)
        assert_equal(weights(whole), weights(trainer))

def test_averaged_weights_follow_the_schedule_of_their_decay():
    "Recorded, too: the share that is kept grows from step to step."
    trainer = JointTrainer(get_preset("nano"), options=RECORDED)
    for k in range(6):
        before = trainer.ema.G.output_layer[2].weight.clone()
        steps(trainer, 1, k)
        now = trainer.model.G.output_layer[2].weight.detach()
        torch.testing.assert_close(trainer.ema.G.output_layer[2].weight,
                                   torch.lerp(before, now, 1 - ema_decay(0.999, k)))

def test_a_step_that_waits_for_a_result_runs_as_usual_and_says_why():
    class Waiting(JointTrainer):
        def updates(self, x, **rest):
            assert x.sum().item() > 0
            return super().updates(x, **rest)
    waiting, plain = (kind(get_preset("nano"), options=RECORDED) for kind in (Waiting, JointTrainer))
    plain.captured = Captured(plain.updates, "cpu", None, "to compare")
    assert steps(waiting, 6) == steps(plain, 6)
    assert waiting.captured.mode.startswith("eager: aten::_local_scalar_dense is not permitted")

@pytest.mark.parametrize("name", MINI_METHODS)
def test_every_baseline_can_be_recorded(name):
    """Their steps, too, hold nothing that a GPU could not record; but for InstColor's, which looks whether there is an
    object at all."""
    p = mini_preset(name,
                    {"precision": "float32", "batch": 4, "prior": "mini-prior" if mini_preset(name).prior else ""})
    trainer = mini_method(name)[2](p, options=RECORDED)
    found = photo_patches(16, p.model.resolution)
    x, y, *_ = trainer.look_at((*load_arrays(found), []), found)
    for k in range(5): trainer.step(x[:4], y[:4].clamp_min(0))
    assert trainer.captured.mode == ("eager: aten::_local_scalar_dense is not permitted while a step is recorded."
                                     if name == "instcolor" else "captured graph")

@pytest.mark.parametrize("preset, settings",
                         [("nano", {"loss.perceptual": 0.2, "perceptual": "efficientnet-lite0", "luma_in_loss": True,
                                    "saturate_real": 1.2}),
                          ("nano-prior", {"projected": 64, "start": "spread", "guidance": 0.1, "model.n_classes": 3}),
                          ("public-code", {"prior": "", "batch": 2, "loss.perceptual": 0., "model.ch": 8,
                                           "model.encoder_ch": 8, "discriminator_ch": 8})])
def test_all_of_a_step_lies_on_the_device(preset, settings, monkeypatch):
    "On torch's meta device, which like a GPU refuses tensors from elsewhere, and has no autocast."
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    p = get_preset(preset, settings)
    trainer = TRAINERS[p.stage](p, CLASSES[:p.model.n_classes], process=Process(device="meta"))
    losses = trainer.step(torch.zeros(p.batch, 3, *[p.model.resolution] * 2, dtype=torch.uint8),
                          torch.zeros(p.batch, dtype=torch.int64))
    assert all(v.is_meta for v in losses.values()) and {"G", "D"} <= set(losses)

# ---- work that is done once

def test_spectral_norms_are_found_once_an_update():
    """D sees images twice in a step, and in two parts four times; each layer takes one step of the power method all
    the same."""
    trainer, found = JointTrainer(get_preset("nano"), options=RunOptions(accumulate=2)), []
    layers = [m for net in (trainer.model, trainer.D) for m in net.modules() if isinstance(m, SpectralNorm)]
    real = biggan.power_iteration
    def spy(W, u, eps):
        found.append(u.data_ptr())
        return real(W, u, eps)
    with patch("biggan_colorize.biggan.power_iteration", spy): steps(trainer, 1)
    assert sorted(found) == sorted(m.u0.data_ptr() for m in layers) and len(layers) > 20

def test_prepared_weights_are_those_of_the_weights_now():
    "After each step, W/σ in use is that of the weights and the u in the checkpoint, and eval mode finds the same."
    trainer = JointTrainer(get_preset("nano"))
    for k in range(3):
        steps(trainer, 1, k)
        for m in [*trainer.model.modules(), *trainer.D.modules()]:
            if isinstance(m, SpectralNorm):
                torch.testing.assert_close(m.eval().normalized_weight(), m.train().normalized_weight())

def test_real_images_pass_the_frozen_network_once_and_keep_nothing():
    trainer = JointTrainer(get_preset("nano", {"loss.perceptual": 0.2, "perceptual": "efficientnet-lite0"}))
    seen, taps = [], trainer.perceptual.net.taps
    def spy(x, *args):
        out = taps(x, *args)
        seen.append((x.requires_grad, out[0].requires_grad))
        return out
    with patch.object(trainer.perceptual.net, "taps", spy): steps(trainer, 1)
    assert sorted(seen) == [(False, False), (True, True)]

# ---- precision

def in_older(code):
    "Runs Python as a processor without AVX-512 would → what it printed."
    env = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr

def test_my_laptop_has_no_bfloat16(tmp_path):
    "Every preset trains in float32 there, says so, and keeps it beside the weights; the inference form warns."
    said = in_older(f"""
import json, torch
from biggan_colorize.colorizer import Colorizer
from biggan_colorize.fuse import fuse
from biggan_colorize.presets import PRESETS, get_preset
from biggan_colorize.precision import choose_precision
from biggan_colorize.train import run
assert {{choose_precision(p.precision) for p in PRESETS.values()}} == {{"float32"}}
run("nano", out={str(tmp_path)!r}, settings={{"precision": "auto", "epochs": 0.1}})
about = json.load(open({str(tmp_path / 'model.json')!r}))["training"]
print(about["precision"], "|", about["device"], "|", about["step"])
fast = fuse(Colorizer.from_pretrained({str(tmp_path / 'model.safetensors')!r}), torch.bfloat16)
print({{p.dtype for p in fast.parameters()}})""")
    assert "nano: in float32 on" in said and "float32 |" in said and "(AVX2)" in said and "eager" in said
    assert "only emulates bfloat16" in said and "{torch.float32}" in said

@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_here_auto_is_bfloat16():
    assert JointTrainer(get_preset("nano", {"precision": "auto"})).precision == "bfloat16"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse(Colorizer.from_pretrained("mini"), torch.bfloat16)

def test_a_run_keeps_the_precision_of_its_checkpoint(tmp_path, monkeypatch):
    """float32 is kept everywhere; bfloat16 where the hardware has it or where it is asked for, else one sentence
    refuses."""
    for precision in ("float32", "bfloat16"):
        first = JointTrainer(get_preset("nano", {"precision": precision}))
        steps(first, 1)
        first.save(tmp_path / precision)
    def go_on(saved, wanted):
        trainer = JointTrainer(get_preset("nano", {"precision": wanted}))
        trainer.load(checkpoints(tmp_path / saved)[-1])
        steps(trainer, 1, 1)
        return trainer.precision, {m.ready.dtype for m in trainer.D.modules()
                                   if isinstance(m, SpectralNorm) and not isinstance(m, torch.nn.Embedding)}
    for has in (True, False):
        monkeypatch.setattr(train, "has_bfloat16", lambda device: has)
        auto = "bfloat16" if has else "float32"
        monkeypatch.setattr(train, "choose_precision", lambda wanted, device: auto if wanted == "auto" else wanted)
        assert go_on("float32", "auto") == ("float32", {torch.float32})
        assert go_on("bfloat16", "bfloat16") == ("bfloat16", {torch.bfloat16})
        with pytest.raises(ValueError, match="was trained in float32, and bfloat16 was asked for"):
            go_on("float32", "bfloat16")
        if has: assert go_on("bfloat16", "auto") == ("bfloat16", {torch.bfloat16})
        else:
            with pytest.raises(ValueError, match="only emulates.*precision=bfloat16"): go_on("bfloat16", "auto")

def test_a_precision_that_is_none():
    with pytest.raises(ValueError, match="auto, float32 or bfloat16, not 'half'"):
        get_preset("nano", {"precision": "half"})
