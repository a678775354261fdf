"What a GPU computes is what a CPU computes; without a GPU these tests are skipped, and say so."
import pytest
import torch

from biggan_colorize.biggan import attend, attend_fused
from biggan_colorize.colorizer import Colorizer
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.presets import get_preset
from biggan_colorize.runs import Process, RunOptions
from biggan_colorize.train import TRAINERS, JointTrainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

@pytest.fixture(autouse=True)
def float32_is_float32():
    "Neither products nor convolutions are shortened to TF32."
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [b.allow_tf32 for b in backends]
    for b in backends: b.allow_tf32 = False
    yield
    for b, was in zip(backends, before): b.allow_tf32 = was

def test_attention():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 64, 8), torch.randn(2, 16, 8), torch.randn(2, 16, 32)
    torch.testing.assert_close(attend(q.cuda(), k.cuda(), v.cuda()).cpu(), attend(q, k, v), atol=1e-4, rtol=1e-4)

def test_steps_of_training():
    "Dropout alone is drawn on the device."
    x, y = torch.stack([photo_patches(8, 32)[i][0] for i in range(8)]), torch.zeros(8, dtype=torch.int64)
    said = []
    for device in ("cpu", "cuda"):
        trainer = JointTrainer(get_preset("nano", {"model.dropout": 0.}), process=Process(device=device))
        where = x.to(device), y.to(device)  # small images lie on the GPU
        said.append([{k: v.item() for k, v in trainer.step(*where).items()} for _ in range(2)])
    for a, b in zip(*said): assert a == pytest.approx(b, abs=1e-2)

def test_attention_has_the_same_gradient_and_needs_no_table():
    """Forward and backward of D's attention at 256 pixels: 4,096 keys for 16,384 queries, whose table would be 256 MB
    an image."""
    torch.manual_seed(0)
    sizes = (16384, 12), (4096, 12), (4096, 48)
    q, k, v = (torch.randn(1, n, c, device="cuda", requires_grad=True) for n, c in sizes)
    out = []
    for f in (attend_fused, lambda q, k, v: (q @ k.transpose(1, 2)).softmax(-1) @ v):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        value = f(q, k, v)
        out.append((value.detach(), *torch.autograd.grad(value.square().sum(), (q, k, v)),
                    torch.cuda.max_memory_allocated() - before))
    for a, b in zip(out[0][:4], out[1][:4]): torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    assert out[0][4] < 2**27 < out[1][4]

@pytest.mark.parametrize("preset", ["nano", "nano-prior"])
def test_a_captured_step_is_the_eager_step(preset):
    "Twenty steps in float32, images as bytes on the card, the learning rate lowered on the way."
    p = get_preset(preset, {"model.dropout": 0., "augment": "translation"})
    images, y = load_arrays(photo_patches(64, 32))[0].cuda(), torch.zeros(8, dtype=torch.int64, device="cuda")
    said, kept = [], []
    for graph in (True, False):
        trainer = TRAINERS[p.stage](p, process=Process(device="cuda"), options=RunOptions(graph=graph))
        for k in range(20):
            trainer.set_epoch(k // 8)
            losses = trainer.step(images[torch.arange(8, device="cuda") + 8 * (k % 8)], y)
            said.append([v.item() for v in losses.values()])
        assert trainer.captured.mode.startswith("captured" if graph else "eager"), trainer.captured.mode
        kept.append({k: v.float() for k, v in trainer.model.state_dict().items()})
    torch.testing.assert_close(torch.tensor(said[:20]), torch.tensor(said[20:]), atol=1e-4, rtol=1e-4)
    for k in kept[0]: torch.testing.assert_close(kept[0][k], kept[1][k], atol=1e-3, rtol=1e-3, msg=k)

def test_packaged_model():
    model = Colorizer.from_pretrained("mini")
    x_gray = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    want = model.colorize_batch(x_gray, torch.tensor([3, 7]), 0)
    got = model.to("cuda").colorize_batch(x_gray.cuda(), torch.tensor([3, 7], device="cuda"), 0).cpu()
    torch.testing.assert_close(got, want, atol=1e-2, rtol=0)
