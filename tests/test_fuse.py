"""The inference form where it is wide enough for Winograd's convolutions, and under torch.compile, which writes C++
and compiles it."""
import contextlib, shutil

import pytest
import torch

from biggan_colorize.colorizer import Colorizer, ColorizerConfig
from biggan_colorize.fuse import Winograd, fuse

@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler (apt-get install g++)")
def test_the_compiled_form_gives_the_same_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    model = Colorizer(ColorizerConfig(resolution=32, feature_resolution=8, ch=2, encoder_ch=2, dim_z=8, shared_dim=4,
                                      n_classes=1, attention=16)).eval()
    x_gray = torch.rand(2, 1, 32, 32)
    want, got = (m.colorize_batch(x_gray, None, [0, 1]) for m in (model, fuse(model, compile=True)))
    assert list(tmp_path.rglob("*.so")), "nothing was compiled"
    torch.testing.assert_close(got, want, atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_that_it_makes_lies_where_the_model_is(dtype, monkeypatch):
    "On torch's meta device, which like a GPU refuses tensors from elsewhere, and has no autocast."
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    model = Colorizer(ColorizerConfig(resolution=32, feature_resolution=8, ch=48, encoder_ch=48, dim_z=8, shared_dim=4,
                                      n_classes=2, attention=16)).eval().to("meta")
    with torch.device("meta"):
        x_gray, y, z = torch.rand(2, 1, 32, 32), torch.zeros(2, dtype=torch.long), torch.randn(2, 8)
    fast = fuse(model, dtype)
    with torch.no_grad(): x_hat = fast(x_gray, y, z)
    assert x_hat.shape == (2, 3, 32, 32) and x_hat.is_meta and not any(isinstance(m, Winograd) for m in fast.modules())


def test_wide_convolutions_take_winograds_form_and_give_the_same_picture():
    torch.manual_seed(0)
    model = Colorizer(ColorizerConfig(resolution=32, feature_resolution=8, ch=48, encoder_ch=48, dim_z=8, shared_dim=4,
                                      n_classes=2, attention=16)).eval()
    x_gray, y, z = torch.rand(2, 1, 32, 40), torch.tensor([1, 0]), torch.randn(2, 8)
    exact, short = fuse(model), fuse(model, torch.bfloat16)
    assert {m.doubled for m in exact.modules() if isinstance(m, Winograd)} == {False, True}
    with torch.no_grad(): want, got, rounded = (m(x_gray, y, z).float() for m in (model, exact, short))
    assert want.std() > 0.01
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    assert -10*((rounded - want)/2).square().mean().log10() > 45  # dB, of images in [0, 1]
