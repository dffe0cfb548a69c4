#!/usr/bin/env python3
"""Records how PyTorch prints tensors: tests/data/print_cases.txt, for tests/test_tensor_print.c.

Usage: tools/record-print.py [FILE [SEED COUNT]]; wants an installed torch. With SEED and COUNT random tensors follow. A case is

    tensor TYPE  ndim sizes strides  offset  list N values | linear N first step
    suffix TEXT                                 what follows the dtype; empty for none
    the printed lines
    end
"""
import random
import sys

import torch

inf, nan = float("inf"), float("nan")
F32, F64, I64, I32, U8, BOOL = torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool


def text_of(value):
    return value.hex() if isinstance(value, float) else str(int(value))


class Case:
    """Numbers in memory, and a view of them."""

    def __init__(self, dtype, memory, sizes, strides=None, offset=0, suffix=""):
        self.suffix = suffix
        if isinstance(memory, tuple):
            n, first, step = memory
            self.memory = "linear %d %s %s" % (n, text_of(float(first)), text_of(float(step)))
            memory = (first + step * torch.arange(n, dtype=F64)).to(dtype)
        else:
            memory = torch.tensor(memory, dtype=dtype)
            self.memory = "list %d %s" % (len(memory), " ".join(text_of(v) for v in memory.tolist()))
        strides = strides if strides is not None else torch.empty(sizes, device="meta").stride()
        self.layout = "%s  %d %s %s  %d" % (str(dtype).removeprefix("torch."), len(sizes), " ".join(map(str, sizes)),
                                            " ".join(map(str, strides)), offset)
        x = torch.as_strided(memory, sizes, strides, offset)
        if suffix == "requires_grad=True":
            x = x.clone(memory_format=torch.preserve_format).requires_grad_()
        elif suffix:
            x = x.clone().requires_grad_().view(x.shape) if "View" in suffix else x.clone().requires_grad_() * 1
        self.text = repr(x)

    def lines(self):
        return "tensor %s  %s\nsuffix %s\n%s\nend\n" % (self.layout, self.memory, self.suffix, self.text)


def chosen_cases():
    yield from scalars()
    for values in ([1.0, 2.0, 3.0], [1.5, -2.25, 3.0], [0.0, 0.0], [-0.0, 0.0], [0.1, 100.0], [0.1, 100.1], [1.0, 1000.0], [1.0, 1001.0],
                   [1e8, 1e7], [1e8 + 8], [1e-4], [9.9e-5], [1e5, 1.0], [123456.789, 1234.5], [nan, 1.0], [inf, -inf, 1.0], [nan, inf, -inf],
                   [nan, 0.5, -inf], [1e10, nan, -inf], [1e-5, nan, inf], [1e-40, 1.0], [3.4e38, 1.0], [0.00005, 0.5], [-1e-3, 1e3],
                   [99999.99996], [9.99995], [0.99995], [2.5, 3.5, 0.5], [0.0, 1e-10], [-5.0], [16777216.0, 16777217.0]):
        yield Case(F32, values, [len(values)])
    for values in ([1.0, 2.0], [0.1, 0.2], [1e300, 1e-300], [5e-324], [1e100, -1e-100, nan], [1 / 3, 2 / 3], [1e15, 1.0]):
        yield Case(F64, values, [len(values)])
    yield Case(I64, [1, 2, 3], [3])
    yield Case(I64, [-1, 20, 300], [3])
    yield Case(I64, [2**63 - 1, -(2**63)], [2])
    yield Case(I32, [1, -2, 3], [3])
    yield Case(U8, [0, 7, 255], [3])
    yield Case(BOOL, [True, False], [2])
    yield Case(BOOL, [True, True], [2])
    yield Case(BOOL, [False] * 30, [5, 6])
    for dtype in (F32, F64, I64, I32, U8, BOOL):
        for sizes in ([0], [0, 3], [2, 0], [2, 0, 3]):
            yield Case(dtype, [], sizes)
    # as many a line as fit
    for n in (12, 26, 27, 30, 100, 1000):
        yield Case(F32, (n, 0, 1), [n])
        yield Case(I64, (n, 0, 1), [n])
    yield Case(F32, (40, 0.5, 0.25), [40])
    yield Case(F32, (40, -1e-5, 3e-6), [4, 10])
    yield Case(F32, (60, 0, 1), [3, 20])
    yield Case(F64, (24, 1e17, 1e16), [2, 12])
    yield Case(F32, [0.0] * 100, [100])
    yield Case(F32, [nan] * 40, [2, 20])
    yield Case(BOOL, (64, 0, 1), [64])
    # brackets
    yield Case(F32, (6, 1, 1), [2, 3])
    yield Case(F32, (24, 0, 0.5), [2, 3, 4])
    yield Case(I64, (48, -24, 1), [2, 2, 3, 4])
    yield Case(U8, (36, 0, 1), [2, 1, 2, 3, 3])
    yield Case(F32, (4, 1, 1), [1, 1, 1, 1, 1, 1, 2, 2])
    yield Case(F32, [1.5], [1, 1])
    # summarised
    yield Case(F32, (1001, 0, 1), [1001])
    yield Case(I64, (1001, 0, 1), [1001])
    yield Case(U8, (2000, 0, 1), [2000])
    yield Case(F64, (1500, 0, 0.001), [1500])
    yield Case(F32, (1200, 0, 0.1), [6, 200])
    yield Case(F32, (1400, 0, 1), [7, 200])
    yield Case(F32, (1400, 0, 1), [200, 7])
    yield Case(F32, (1200, 0, 1), [200, 6])
    yield Case(F32, (4000, -2000, 1), [10, 20, 20])
    yield Case(F32, (4096, 0, 1e-3), [8, 8, 8, 8])
    yield Case(BOOL, (1200, 0, 1), [30, 40])
    yield Case(F32, (2000, 1e6, 1e6), [2000])
    yield Case(I32, (1002, 0, 1), [2, 501])
    yield Case(F32, [0.0] * 500 + [1e-9] + [0.0] * 500, [1001])
    # strides
    yield Case(F32, (6, 1, 1), [3, 2], [1, 3])
    yield Case(F32, (12, 1, 0.5), [2, 3], [6, 2], 1)
    yield Case(I64, (3, 1, 1), [4, 3], [0, 1])
    yield Case(F32, (2000, 0, 1), [40, 50], [1, 40])
    yield Case(F32, (24, 0, 1), [2, 3, 2, 2], [1, 2, 12, 6])
    # suffixes
    for suffix in ("requires_grad=True", "grad_fn=<MulBackward0>", "grad_fn=<ViewBackward0>"):
        yield Case(F32, [1.5], [], suffix=suffix)
        yield Case(F64, (4, 0, 1), [2, 2], suffix=suffix)
        yield Case(F32, (11, 0, 0.25), [11], suffix=suffix)
        yield Case(F32, (8, 100, 0.25), [8], suffix=suffix)
        yield Case(F64, (7, 100, 0.25), [7], suffix=suffix)
        yield Case(F32, [], [0, 3], suffix=suffix)
    for n in range(9, 17):
        yield Case(F32, (n, 0, 1), [n], suffix="requires_grad=True")
        yield Case(F64, (n, 0, 1), [n], suffix="requires_grad=True")


def scalars():
    for value in (1.5, 0.0, -0.0, 1.0, -3.0, 1e-5, 123456789.0, 3.14159265, nan, inf, -inf, 1e-45):
        yield Case(F32, [value], [])
    for dtype, value in ((F64, 1.5), (I64, 3), (I64, -3), (I32, 7), (U8, 255), (BOOL, True), (BOOL, False)):
        yield Case(dtype, [value], [])


def random_cases(count):
    for _ in range(count):
        dtype = random.choice([F32, F32, F64, I64, I32, U8, BOOL])
        sizes = [random.choice([1, 2, 3, 4, 5, 7, 8, 11]) for _ in range(random.randint(0, 4))]
        n = max(torch.Size(sizes).numel(), 1)
        scale = 10.0 ** random.randint(-6, 9)
        whole = random.random() < 0.3
        if dtype.is_floating_point:
            values = [random.choice([random.gauss(0, scale), random.random() * scale]) for _ in range(n)]
            values = [float(round(v)) if whole else v for v in values]
            if random.random() < 0.3:
                values = [random.choice([nan, inf, -inf, 0.0, v]) if random.random() < 0.3 else v for v in values]
        else:
            high = {I64: 2 ** random.randint(1, 62), I32: 2 ** random.randint(1, 30), U8: 255, BOOL: 1}[dtype]
            values = [random.randint(0 if dtype in (U8, BOOL) else -high, high) for _ in range(n)]
        suffix = random.choice(["", "requires_grad=True", "grad_fn=<MulBackward0>"]) if dtype.is_floating_point else ""
        order = random.sample(range(len(sizes)), len(sizes))
        x = torch.empty([sizes[d] for d in order], device="meta").permute([order.index(d) for d in range(len(sizes))])
        yield Case(dtype, values, sizes, x.stride(), suffix=suffix)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/data/print_cases.txt"
    cases = list(chosen_cases())
    if len(sys.argv) > 3:
        random.seed(int(sys.argv[2]))
        cases += random_cases(int(sys.argv[3]))
    with open(path, "w") as file:
        file.writelines(case.lines() for case in cases)
    print(len(cases), "cases")


main()
