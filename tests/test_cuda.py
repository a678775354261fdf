"What a GPU computes is what a CPU computes; without a GPU these tests are skipped, and say so."
import pytest
import torch

from biggan_colorize.biggan import attend
from biggan_colorize.colorizer import Colorizer
from biggan_colorize.data import photo_patches
from biggan_colorize.presets import get_preset
from biggan_colorize.runs import Process
from biggan_colorize.train import JointTrainer

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

def test_packaged_model():
    model, x_gray = Colorizer.from_pretrained("mini"), torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    want = model.colorize_batch(x_gray, torch.tensor([3, 7]), 0)
    got = model.to("cuda").colorize_batch(x_gray.cuda(), torch.tensor([3, 7], device="cuda"), 0).cpu()
    torch.testing.assert_close(got, want, atol=1e-2, rtol=0)
