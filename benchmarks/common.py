"""What the benchmarks share: medians, the count of operations, the machine's limit, and the models and steps in
earlier forms, to compare with."""
import copy, json, statistics, time
from contextlib import ExitStack, contextmanager
from types import MethodType
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from biggan_colorize.biggan import DownBlock, SelfAttention, UpBlock, forget
from biggan_colorize.data import atomic_write
from biggan_colorize.precision import device_name
from biggan_colorize.provenance import commit, repository, versions
from biggan_colorize.table import grid

def settle():
    "Waits for the GPU, where there is one."
    if torch.cuda.is_available(): torch.cuda.synchronize()

def medians(functions, repetitions):
    """Each function's median over rounds in which all take turns, so that a machine that slows down slows all. In a
    round each runs twice and the second run counts: memory and caches are then as in a loop of its own."""
    def once(f):
        f()
        settle()
        started = time.perf_counter()
        f()
        settle()
        return time.perf_counter() - started
    rounds = [[once(f) for f in functions] for _ in range(repetitions)]
    return [statistics.median(times) for times in zip(*rounds)]

def median_seconds(f, repetitions):
    "One function's median."
    return medians([f], repetitions)[0]

def gflop(f):
    with FlopCounterMode(display=False) as counter: f()
    return counter.get_total_flops() / 1e9

def limit(dtype, repetitions, device="cpu"):
    "GFLOP a second of a 3×3 convolution of 512 channels on 64×64 pixels: of one image on a CPU, of 16 on a GPU."
    n, where = 1 if device == "cpu" else 16, dict(device=device, dtype=dtype, memory_format=torch.channels_last)
    conv, x = nn.Conv2d(512, 512, 3, padding=1).to(**where), torch.randn(n, 512, 64, 64).to(**where)
    with torch.no_grad(): return n * 2 * 512 * 512 * 9 * 64 * 64 / 1e9 / median_seconds(lambda: conv(x), repetitions)

def up(self, x, e):
    h = self.conv1(F.interpolate(F.relu(self.bn1(x, e)), scale_factor=2))
    return self.conv2(F.relu(self.bn2(h, e))) + self.conv_sc(F.interpolate(x, scale_factor=2))

def attention(self, x, e=None):
    query, key, value = self.theta(x).flatten(2), F.max_pool2d(self.phi(x), 2).flatten(2), F.max_pool2d(self.g(x),
            2).flatten(2)
    weights = (query.transpose(1, 2) @ key).softmax(-1)
    return x + self.gamma * self.o((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))

def down(self, x):
    h = self.pool(self.conv2(F.relu(self.conv1(x if self.first else F.relu(x)))))
    if self.conv_sc is None: return h + self.pool(x)
    return h + (self.conv_sc(self.pool(x)) if self.first else self.pool(self.conv_sc(x)))

def as_published(model):
    "A copy that computes in the order of the published code."
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    return in_published_order(model)

def in_published_order(model):
    "`model` itself, with the forward passes of its blocks replaced."
    for m in model.modules():
        for kind, forward in ((UpBlock, up), (DownBlock, down), (SelfAttention, attention)):
            if isinstance(m, kind): m.forward = MethodType(forward, m)
    return model

def four_operations(x, gain, bias, mean, var, eps):
    "Batch norm, scale, shift and ReLU as torch has them."
    return F.relu(torch.addcmul(bias.to(x.dtype), F.batch_norm(x, mean, var, None, None, True, 0.1, eps),
                                gain.to(x.dtype)))

def attend_by_table(query, key, value):
    "Attention with the table of all weights, in float32 as torch computes it where no fused kernel fits."
    return ((query.float() @ key.float().transpose(1, 2)).softmax(-1) @ value.float()).to(value.dtype)

FORMS = {  # what is switched back, by name: (where, what, to what)
    "gradients": [("biggan.norm_relu", four_operations),
                  ("biggan.convolve", lambda x, w, b=None, f=F.conv2d, **how: f(x, w, b, **how)),
                  ("gradients.convolve", lambda x, w, b=None, f=F.conv2d, **how: f(x, w, b, **how)),
                  ("biggan.halve", lambda x: F.avg_pool2d(x, 2)),
                  ("encoder.halve", lambda x: F.avg_pool2d(x, 2)),
                  ("features.frozen_convolve", lambda x, w, b, s, p, g: F.conv2d(x, w, b, s, p, 1, g))],
    "norms": [("train.prepare", lambda *args: None)],  # σ at each call
    "attention": [("biggan.attend_fused", attend_by_table)]}

@contextmanager
def as_torch_has_it(*names):
    "In this block parts of FORMS are computed as they were before."
    with ExitStack() as stack:
        for where, what in (pair for name in names for pair in FORMS[name]):
            stack.enter_context(patch(f"biggan_colorize.{where}", what))
        yield

def a_step(trainer, x, y, back=()):
    "The function that takes one step of a trainer, some parts of it switched back."
    if "norms" in back: forget(trainer.model), forget(trainer.D)
    def step():
        with as_torch_has_it(*back): trainer.step(x, y)
    return step

def most_expensive(f, n=10):
    "The n operations (on a GPU kernels) that take most of a call, as Markdown."
    from torch.profiler import ProfilerActivity, profile
    cuda = torch.cuda.is_available()
    f()
    settle()
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as found:
        f()
        settle()
    def ms(e): return (e.self_device_time_total if cuda else e.self_cpu_time_total) / 1e3
    rows = sorted(found.key_averages(), key=ms, reverse=True)
    total = sum(map(ms, rows))
    cells = [["operation", "ms", "share (%)", "calls"],
             *[[e.key[:70].replace("|", "/"), f"{ms(e):.1f}", f"{100 * ms(e) / total:.0f}", str(e.count)]
               for e in rows[:n]]]
    return grid(cells) + f"\n\n{total:.0f} ms in all."

def write_table(name, cells, note, **numbers):
    "Prints a Markdown table and writes figures/NAME.md and NAME.json."
    text = grid(cells) + "\n\n" + note + "\n"
    print(text)
    for suffix, content in (("md", text),
                            ("json", json.dumps(numbers |
                                                {"device": device_name("cuda" if name.endswith("_cuda") else "cpu"),
                                                 "threads": torch.get_num_threads(), "commit": commit(repository()),
                                                 "versions": versions()}, indent=1) + "\n")):
        with atomic_write(repository() / "figures" / f"{name}.{suffix}") as part:
            part.write_text(content, encoding="utf-8")
