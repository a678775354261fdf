"""The gradient of frozen convolutions, a prior trained with projected discriminators, and the start from which z
reaches the layout."""
import pytest
import torch
from torch.nn import functional as F

from biggan_colorize.biggan import Generator
from biggan_colorize.data import photo_patches
from biggan_colorize.features import EfficientNetLite0, FrozenConv2d
from biggan_colorize.presets import get_preset
from biggan_colorize.train import PriorTrainer, load_prior, shared_layout, spread_start

@pytest.mark.parametrize("side", [8, 9, 11])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("depthwise", [False, True])
def test_gradient_of_a_frozen_convolution(side, stride, kernel, depthwise):
    "Value and gradient are those of torch's own convolution of the image padded as TensorFlow's `same`."
    torch.manual_seed(0)
    n_in, n_out = (6, 6) if depthwise else (6, 4)
    conv = FrozenConv2d(n_in, n_out, kernel, stride, groups=6 if depthwise else 1).requires_grad_(False)
    x = torch.randn(2, n_in, side, side + 3, requires_grad=True)
    missing = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
    padded = F.pad(x, [missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2])
    want = F.conv2d(padded, conv.weight, conv.bias, stride, groups=conv.groups)
    got = conv(x)
    assert got.shape[2:] == (-(-side // stride), -(-(side + 3) // stride))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    with torch.no_grad(): torch.testing.assert_close(conv(x), want, atol=1e-5, rtol=1e-5)
    d = torch.randn_like(want)
    torch.testing.assert_close(torch.autograd.grad(got, x, d)[0], torch.autograd.grad(want, x, d)[0], atol=1e-5,
                               rtol=1e-5)

def test_gradient_through_the_frozen_network():
    "In bfloat16 it points where it does in float32, which numeric differences confirm."
    torch.manual_seed(0)
    net, x = EfficientNetLite0(), torch.stack([photo_patches(2, 64)[i][0] for i in range(2)])
    weights = [torch.randn_like(t) for t in net.taps(x)]
    def loss(v): return sum((t.float() * w).sum() for t, w in zip(net.taps(v), weights))
    def gradient(bf16):
        v = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16): value = loss(v)
        return torch.autograd.grad(value, v)[0]
    exact, rough = gradient(False), gradient(True)
    direction = exact / exact.norm()
    with torch.no_grad(): slope = (loss(x + 1e-3 * direction) - loss(x - 1e-3 * direction)) / 2e-3
    torch.testing.assert_close(slope, exact.norm(), rtol=0.02, atol=0)
    assert F.cosine_similarity(exact.flatten(), rough.flatten(), 0) > 0.9

def test_a_spread_start():
    """BigGAN's start gives all samples one layout, the spread one a layout of their own, and a class as much weight as
    z."""
    torch.manual_seed(0)
    cfg = get_preset("mini-prior").model.biggan
    published, spread = Generator(cfg), spread_start(Generator(cfg))
    assert shared_layout(published) > 0.7 and shared_layout(spread) < 0.1
    assert abs(spread.shared.weight.std().item() - 1) < 0.05 and published.shared.weight.std() < 0.2
    assert not spread.linear.bias.requires_grad and not spread.linear.bias.any()

CLASSES = ["n01443537", "n02123045", "n09256479"]
SMALL = {"projected": 64, "guidance": 0.1, "start": "spread", "model.n_classes": 3, "batch": 4}

@pytest.fixture
def x(): return torch.stack([photo_patches(4, 32)[i][0] for i in range(4)])
@pytest.fixture
def y(): return torch.tensor([0, 1, 2, 0])

def test_a_step_with_projected_discriminators(x, y, tmp_path):
    """G and all discriminators move, the frozen network and the first bias do not; the prior's file has the
    discriminator of pixels alone."""
    trainer = PriorTrainer(get_preset("nano-prior", SMALL), CLASSES)
    assert trainer.D(x, y).shape == (4, 8, 4) and trainer.D(x.clone().requires_grad_(), y).shape == (4, 9, 4)
    def numbers(net): return {k: v.clone() for k, v in net.named_parameters()}
    frozen, G, D = numbers(trainer.D.features.hidden[0]), numbers(trainer.model), numbers(trainer.D)
    for _ in range(3): losses = trainer.step(x, y)
    assert set(losses) == {"G", "D"}
    assert all(torch.equal(v, frozen[k]) for k, v in trainer.D.features.hidden[0].named_parameters())
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, G[k])]
    assert still == ["linear.bias"]
    resting = [k for k, v in trainer.D.named_parameters() if torch.equal(v, D[k])]
    # its gradients from real and generated images cancel while all scores lie between -1 and 1
    assert all(k.endswith("score.bias") for k in resting)
    trainer.write_weights(tmp_path / "a-prior.safetensors", images_seen=12)
    _, pixels, about = load_prior(tmp_path / "a-prior.safetensors")
    assert about["classes"] == CLASSES and set(pixels.state_dict()) == set(trainer.D.pixels.state_dict())
    torch.testing.assert_close(pixels.linear.weight, trainer.D.pixels.linear.weight.detach(), atol=1e-3, rtol=1e-3)

def test_projected_training_goes_on_from_a_checkpoint(x, y, tmp_path):
    "Three steps and two more from their checkpoint are five steps, bit for bit."
    preset = get_preset("nano-prior", SMALL)
    whole, first, second = (PriorTrainer(preset, CLASSES) for _ in range(3))
    for _ in range(5): whole.step(x, y)
    for _ in range(3): first.step(x, y)
    first.save(tmp_path)
    saved, = tmp_path.glob("checkpoint*")
    # the frozen network is not in it
    assert saved.stat().st_size < sum(p.numel() for p in first.D.features.hidden[0].parameters()) * 4
    second.load(saved)
    for _ in range(2): second.step(x, y)
    for part in ("model", "D", "ema"):
        for k, v in getattr(whole, part).state_dict().items():
            assert torch.equal(v, getattr(second, part).state_dict()[k]), (part, k)

@pytest.mark.parametrize("settings, said",
                         [({"start": "wide"}, "published"), ({"stage": "joint", "projected": 64}, "starts from it"),
                          ({"stage": "joint", "start": "spread"}, "starts from it"),
                          ({"guidance": 0.1}, "set projected")])
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(ValueError, match=said): get_preset("nano-prior", settings)

def test_guidance_raises_the_named_class(x, y):
    "G's gradient is that of the other rows plus guidance times that of log p(y), and D's step does not see it."
    trainers = {w: PriorTrainer(get_preset("nano-prior", SMALL | {"guidance": w, "augment": ""}), CLASSES)
                for w in (0., 0.1)}
    v = (x * 2 - 1).requires_grad_()
    rows = {w: t.D.eval()(v, y) for w, t in trainers.items()}
    torch.testing.assert_close(rows[0.], rows[0.1][:, :8])
    features = trainers[0.1].D.features
    log_p = features.log_p(features.taps(v)[-1], y)
    torch.testing.assert_close(rows[0.1][:, 8], 0.1 * log_p[:, None].expand(-1, 4))
    def losses(t): return t.loss_D(t.microbatches(**t.draw(x, y))[0])["D"].item()
    assert losses(trainers[0.]) == losses(trainers[0.1])
