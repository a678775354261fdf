"""The paper in one evening: the training loop that a reader types is the library's step, and the notebook leans on
nothing else."""
import ast, copy, json, time

import pytest
import torch
from torch.nn import functional as F

from biggan_colorize.biggan import forget
from biggan_colorize.color import rgb_to_x_hat, to_gray, x_hat_to_rgb
from biggan_colorize.data import load_arrays, photo_patches
from biggan_colorize.presets import get_preset
from biggan_colorize.train import JointTrainer

LOSS_TOLERANCE = 1e-5    # relative
# mean, in learning rates: Adam's first step turns rounding of a gradient near 0 into a part of one
UPDATE_TOLERANCE = 1e-3

def code_cells(root):
    "The sources of the notebook's code cells."
    cells = json.loads((root/"nbs"/"paper.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]

def cell_with(root, text):
    "The one code cell that holds `text`."
    found = [c for c in code_cells(root) if text in c]
    assert len(found) == 1, f"{len(found)} cells hold {text!r}"
    return found[0]

def trainer_of(adversarial):
    "A trainer of the `nano` preset without dropout, whose random numbers the two would draw in another order."
    settings = {"model.dropout": 0., "loss.adversarial": adversarial}
    return JointTrainer(get_preset("nano", settings))

def notebook_step(root, trainer, x, z, y):
    """Runs the notebook's cells of eqs. 1 to 3, of the cut and of the loop on a trainer's networks → what they leave
    behind."""
    p = trainer.preset
    model, D = copy.deepcopy((trainer.model, trainer.D))
    for net in (model, D): forget(net)  # the loop leaves the spectral norms to each call
    def adam(net, lr): return torch.optim.Adam(net.parameters(), lr, p.betas, p.adam_eps)
    names = dict(torch=torch, F=F, time=time, to_gray=to_gray, x_hat_to_rgb=x_hat_to_rgb, rgb_to_x_hat=rgb_to_x_hat,
                 perceptual=lambda a, b: a.new_zeros(len(a)))
    for text in ("def loss_E", "def G_from"): exec(cell_with(root, text), names)
    names |= dict(lambda1=p.loss.mse, lambda2=p.loss.perceptual, lambda3=p.loss.adversarial,
                  lambda4=p.loss.discriminator, E=lambda x_gray: model.E(x_gray, model.G.embed(y)), G=model.G, D=D,
                  start=model.start, y=y, images=x, steps=1, batch=len(x), dim_z=z.shape[1],
                  opt_EG=adam(model, p.lr), opt_D=adam(D, p.lr_d))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda n, shape: torch.arange(n))
        patch.setattr(torch, "randn", lambda *shape: z)
        exec(cell_with(root, "for step in range(steps):\n    x = images"), names)
    return names | {"model": model}

def mean_difference(ours, theirs, before, lr):
    "The mean difference between a network's first update in two runs, in learning rates; an error when nothing moved."
    def vector(net): return torch.cat([p.detach().flatten() for p in net.parameters()])
    assert (vector(ours) - vector(before)).abs().mean() > 0.5*lr
    return (vector(ours) - vector(theirs)).abs().mean().item()/lr

@pytest.mark.parametrize("adversarial", [0.03, 0.5])
def test_the_flat_loop_is_the_trainers_step(root, adversarial):
    "The losses and the updates of E, G and D are those of `JointTrainer.step` on the same images and z."
    trainer = trainer_of(adversarial)
    x, y = load_arrays(photo_patches(8, 32))[0], torch.zeros(8, dtype=torch.int64)
    drawn = trainer.draw(x, y)  # what the step is about to take: it depends on the step's number alone
    floats = x.float()/255
    mirrored = torch.where(drawn["flipped"][:, None, None, None], floats.flip(-1), floats)
    before = copy.deepcopy((trainer.model, trainer.D))
    ours = notebook_step(root, trainer, mirrored.contiguous(memory_format=torch.channels_last), drawn["z"], y)
    theirs = trainer.step(x, y)
    for k, name in (("E", "l_E"), ("G", "l_G"), ("D", "l_D")):
        torch.testing.assert_close(ours[name].detach(), theirs[k], rtol=LOSS_TOLERANCE, atol=LOSS_TOLERANCE, msg=name)
    assert mean_difference(ours["model"], trainer.model, before[0], trainer.preset.lr) < UPDATE_TOLERANCE
    assert mean_difference(ours["D"], trainer.D, before[1], trainer.preset.lr_d) < UPDATE_TOLERANCE

def test_another_weight_is_another_step(root):
    "The comparison can fail: a loop with another λ3 has another loss of G and another update."
    trainers = [trainer_of(adversarial) for adversarial in (0.03, 0.5)]
    x, y = load_arrays(photo_patches(8, 32))[0].float()/255, torch.zeros(8, dtype=torch.int64)
    z = trainers[0].draw(x, y)["z"]
    a, b = (notebook_step(root, t, x, z, y) for t in trainers)
    torch.testing.assert_close(a["l_E"], b["l_E"])
    assert abs(a["l_G"] - b["l_G"]) > 100*LOSS_TOLERANCE
    assert mean_difference(a["model"], b["model"], trainers[0].model, trainers[0].preset.lr) > 10*UPDATE_TOLERANCE

def test_the_method_is_written_in_the_notebook(root):
    "Training, encoder, losses and inversion are not imported."
    imported = {node.module for c in code_cells(root) for node in ast.walk(ast.parse(c))
                if isinstance(node, ast.ImportFrom)}
    hidden = {f"biggan_colorize.{m}" for m in ("train", "encoder", "losses", "inversion", "presets")}
    assert imported and not imported & hidden
