#!/usr/bin/env python3
"""record-rng.py FILE: writes down what an installed PyTorch draws, for tests/test_generator.c to draw again.

    python tools/record-rng.py tests/data/rng_calls.txt        (x86-64, PyTorch 2.13.0; run when a new PyTorch is to be followed)

A line is a call; what follows the colon is the outcome. STRIDES are left out where they are row-major.

    seed S                                      torch.manual_seed(S)
    OP dtype ARGUMENTS | SIZES @ STRIDES : crc C        CRC-32 of the memory filled, gaps included (they are 0 before)
    OP dtype ARGUMENTS | SIZES @ STRIDES : values V...  the memory itself, where the last bits are those of the C library's log, sin, ...
    refused OP ... : SENTENCE
    state : C V                                 CRC-32 of torch.get_rng_state() without its kept normal, and that normal
    epoch N : C                                 the order in which a shuffling DataLoader reads N items, as int64
    epoch_of S N : C                            the same with generator=, seeded with S, second epoch (the first was read to its end)
    pass N                                      a DataLoader that does not shuffle reads N items

Weights of layers are recorded as the uniform_ calls that make them, after a check that they do.
"""
import math
import re
import sys
import zlib

import torch
from torch import nn

F32, F64, I64, I32, U8, BOOL = torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool
ALL = (F32, F64, I64, I32, U8, BOOL)
SEEDS = [0, 42, 2**31 - 1, 2**32 - 1, 2**32 + 5, 2**64 - 1]

out = open(sys.argv[1], "w")
refusals = set()  # each is recorded once


def name(dtype):
    return str(dtype)[6:]


def exact(x):
    return re.sub(r"\.?0*p", "p", float(x).hex())


def crc(tensor):
    return "%08x" % zlib.crc32(tensor.detach().contiguous().numpy().tobytes())


def seed(s):
    torch.manual_seed(s)
    print("seed", s, file=out)


def state():
    raw = bytearray(torch.get_rng_state().numpy().tobytes())
    kept = torch.frombuffer(raw[5024:5032], dtype=F64).item()
    raw[5024:5032] = bytes(8)
    print("state : %08x %s" % (zlib.crc32(bytes(raw)), exact(kept)), file=out)


def memory(sizes, strides, dtype):
    return torch.zeros(1 + sum((n - 1) * step for n, step in zip(sizes, strides)) if 0 not in sizes else 0, dtype=dtype)


def row_major(sizes):
    strides, step = [], 1
    for n in reversed(sizes):
        strides.insert(0, step)
        step *= max(n, 1)
    return strides


def call(op, dtype, arguments, sizes, strides=None, libm=False, draw=None):
    """op as recorded; draw(tensor) defaults to the method op_ with these arguments"""
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    shape = ["|", *map(str, sizes)] + (["@", *map(str, strides)] if strides else [])
    strides = strides or row_major(sizes)
    base = memory(sizes, strides, dtype)
    view = base.as_strided(sizes, strides)
    line = " ".join([op, name(dtype), *map(repr, arguments), *shape])
    try:
        (draw or (lambda t: getattr(t, op + "_")(*arguments)))(view)
    except RuntimeError as error:
        if line not in refusals:
            print("refused", line, ":", str(error).split("\n")[0], file=out)
        refusals.add(line)
        return
    if libm:
        print(line, ": values", *map(exact, base.flatten().tolist()), file=out)
    else:
        print(line, ": crc", crc(base), file=out)


def uniform(dtype, n, a=0.0, b=1.0, strides=None):
    call("uniform", dtype, (float(a), float(b)), n, strides)


def normal(dtype, n, mean=0.0, std=1.0, strides=None):
    contiguous = strides is None
    count = math.prod(n) if isinstance(n, (list, tuple)) else n
    libm = dtype == F64 or count < 16 or not contiguous
    call("normal", dtype, (float(mean), float(std)), n, strides, libm)


def integers(dtype, n, low, high):
    call("integers", dtype, (low, high), n, draw=lambda t: t.random_(low, high))


def integers_from(dtype, n, low):
    call("integers_from", dtype, (low,), n, draw=lambda t: t.random_(low, None))


def integers_all(dtype, n):
    call("integers_all", dtype, (), n, draw=lambda t: t.random_())


def chances(n, dtype):
    """the probabilities that the C side makes for bernoulli_tensor: 0, 0.1, ... 1, 0, ... by index"""
    return (torch.arange(n) % 11).to(dtype) / 10


def bernoulli_tensor(dtype, p_dtype, n):
    call("bernoulli_tensor_" + name(p_dtype), dtype, (), n, draw=lambda t: t.bernoulli_(chances(n, p_dtype)))


def dropout_mask(dtype, n, p):
    ones = torch.ones(n, dtype=dtype)
    call("dropout_mask", dtype, (float(p),), n, draw=lambda t: t.copy_(nn.functional.dropout(ones, p, True)))


def randperm(dtype, n):
    call("randperm", dtype, (), n, draw=lambda t: t.copy_(torch.randperm(n, dtype=dtype)))


def layer(module, fan_in, bound):
    """bound: that of the weight, as nn.init.kaiming_uniform_ comes to it with a = sqrt(5)"""
    start = torch.get_rng_state()
    made = module()
    end = torch.get_rng_state()
    torch.set_rng_state(start)
    uniform(F32, list(made.weight.shape), -bound, bound)
    bias_bound = 1 / math.sqrt(fan_in)
    uniform(F32, list(made.bias.shape), -bias_bound, bias_bound)
    torch.set_rng_state(start)
    assert torch.equal(torch.empty_like(made.weight).uniform_(-bound, bound), made.weight)
    assert torch.equal(torch.empty_like(made.bias).uniform_(-bias_bound, bias_bound), made.bias)
    assert torch.equal(torch.get_rng_state(), end)


def default_bound(fan_in):
    gain = math.sqrt(2.0 / (1 + math.sqrt(5) ** 2))
    return math.sqrt(3.0) * (gain / math.sqrt(fan_in))


def linear(n_in, n_out):
    layer(lambda: nn.Linear(n_in, n_out), n_in, default_bound(n_in))


def conv2d(n_in, n_out, kernel, groups=1):
    fan_in = n_in // groups * kernel * kernel
    layer(lambda: nn.Conv2d(n_in, n_out, kernel, groups=groups), fan_in, default_bound(fan_in))


class Indices(torch.utils.data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i


def read(loader):
    return torch.cat(list(loader))


def epoch(n, batch):
    print("epoch", n, ":", crc(read(torch.utils.data.DataLoader(Indices(n), batch, shuffle=True))), file=out)


def epoch_of(s, n, batch):
    generator = torch.Generator()
    generator.manual_seed(s)
    loader = torch.utils.data.DataLoader(Indices(n), batch, shuffle=True, generator=generator)
    read(loader)
    print("epoch_of", s, n, ":", crc(read(loader)), file=out)


def sequential(n, batch):
    read(torch.utils.data.DataLoader(Indices(n), batch))
    print("pass", n, file=out)


print("# PyTorch", torch.__version__, "- made by tools/record-rng.py", file=out)
RANGES = [(-1, 1), (2, 7.5), (0.1, 0.2), (-1e-3, 1e3), (5, 5), (-3e38, 0), (1e8, 1e8 + 8)]
LAYOUTS = [
    ((40,), (2,)), ((5, 7), (1, 5)), ((3, 4, 5), (20, 1, 4)), ((2, 3, 4, 5), (60, 1, 15, 3)), ((8, 3, 2, 2), (12, 1, 6, 3)),
    ((4, 6), (12, 2)), ((4, 1, 5), (5, 77, 1)), ((2, 5, 3), (100, 2, 10)), ((3, 3), (10, 1)), ((1, 9), (1, 1)), ((17, 1), (1, 17)),
    ((2, 2, 2), (1, 2, 4)), ((64, 10, 3, 3), (1, 576, 192, 64)), ((), ()), ((3, 0, 2), (2, 2, 1)), ((1, 1, 1), (5, 0, 9)),
]
for s in SEEDS:
    few = s in (0, 2**32 - 1)
    seed(s)
    state()
    for n in [0, 1, 2, 15, 16, 17, 31, 32, 33, 511, 512, 513, 624, 1000] + ([100003] if few else []):
        for dtype in (F32, F64):
            uniform(dtype, n)
            if n <= 17 or dtype == F32:
                normal(dtype, n)
                normal(dtype, n, 0.3, 0.02)
    state()
    for a, b in RANGES:
        uniform(F32, 700, a, b)
        uniform(F64, 300, a, b)
    uniform(F64, 100, 1e17, 1e17 + 16)
    normal(F32, 3001, -5, 0.1)
    normal(F64, 35, 1e-3, 1e3)
    state()
    for n in (1, 3, 20, 1, 16, 2):  # the kept half of a pair crosses types, other draws and long fills
        normal(F32, n)
        uniform(F32, 3)
        normal(F64, n, 2, 3)
        state()
    for sizes, strides in LAYOUTS:
        uniform(F32, sizes, 0, 1, strides)
        uniform(F64, sizes, -1, 1, strides)
        call("dropout_mask", F32, (0.25,), sizes, strides, draw=lambda t: t.bernoulli_(0.75).div_(0.75))
    normal(F32, (5, 4), 1, 2, (1, 5))
    normal(F64, (3, 6), 1, 2, (1, 3))
    state()
    for dtype in ALL:
        for low, high in [(0, 1), (0, 2), (-5, 5), (0, 256), (0, 2**24 + 1), (0, 2**28 - 1), (0, 2**28), (-2**31, 2**31), (0, 2**32), (0, 2**53),
                          (10**9, 10**9 + 7), (-2**63, 2**63 - 1), (2**62, 2**62 + 5), (-2**62 - 1, 2**62), (7, 7)]:
            integers(dtype, 6, low, high)
        for low in (0, 5, -3, 2**20, -2**40, -2**63):
            integers_from(dtype, 5, low)
        integers_all(dtype, 11)
        for p in (0.0, 1.0, 0.5, 1 / 3, 1e-3):
            call("bernoulli", dtype, (p,), 50)
        bernoulli_tensor(dtype, F32, 30)
        bernoulli_tensor(dtype, F64, 30)
        for n in (0, 1, 2, 17, 256, 257, 1000) if dtype != BOOL else (1,):
            randperm(dtype, n)
    state()
    for p in (0.1, 0.2, 0.5, 0.9):
        dropout_mask(F32, 1001, p)
        dropout_mask(F64, 33, p)
    for dtype in (F32, F64):
        call("exponential", dtype, (3.7,), 9, libm=True)
        call("cauchy", dtype, (1.5, 2.0), 9, libm=True)
        call("log_normal", dtype, (0.1, 0.5), 9, libm=True)
        call("geometric", dtype, (0.3,), 9, libm=True)
    state()
    conv2d(1, 10, 5), conv2d(10, 20, 5), linear(2000, 100), linear(100, 10), conv2d(8, 8, 3, 8)
    epoch(60000 if few else 1000, 64), epoch(60000 if few else 10, 64)
    dropout_mask(F32, 640, 0.5)
    sequential(10, 4), epoch_of(s, 100, 7)
    uniform(F32, 1)
    state()
randperm(I64, 1000003)
state()

seed(0)
for dtype in (F32, F64, I64, BOOL):
    for op, rows in {
        "uniform": [(1.0, 0.0), (-3e38, 3e38), (-1e308, 1e308), (0.0, 1e39), (math.nan, 1.0), (0.0, math.inf), (1.25, 1 / 3)],
        "normal": [(0.0, -1.0), (0.0, math.nan), (0.0, -1 / 3), (0.0, 1.0)],
        "log_normal": [(0.0, 0.0), (0.0, -1.0)], "exponential": [(0.0,), (-1.0,), (math.nan,)],
        "cauchy": [(0.0, 0.0), (0.0, -1.0)], "geometric": [(0.0,), (1.0,), (math.nan,)],
        "bernoulli": [(1.5,), (math.nan,), (-1 / 3,)],
    }.items():
        for arguments in rows:
            call(op, dtype, arguments, 2, libm=True)
state()
