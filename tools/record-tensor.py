#!/usr/bin/env python3
"""Records what PyTorch does with shapes, strides, types and conversions: tests/data/tensor_cases.txt, for tests/test_tensor_*.c.

Usage: tools/record-tensor.py [FILE [SEED [COUNT]]]; wants an installed torch. A line is a kind of case and numbers:

    result  N  then N inputs and the output, each: ndim sizes strides       strides of a fresh elementwise result
    view    ndim sizes strides  ndim sizes  1 strides | 0                   view(): the new strides, or that it cannot be done
    dense   ndim sizes strides  0 | 1                                       non-overlapping and dense
    type    N  then N operands: d (dimensions), z (0-dim), n (number) and a type; the result's type
    convert type value type value                                           one element to another type
"""
import itertools
import random
import sys

import torch

TYPES = [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]


def name(dtype):
    return str(dtype).removeprefix("torch.")


def numbers(*groups):
    return "  ".join(" ".join(map(str, group)) for group in groups)


def layout(x):
    return numbers([x.dim()], x.shape, x.stride())


def random_layout(sizes):
    """An uninitialised tensor of these sizes: permuted, sliced, with gaps, or with odd strides where a size is 1."""
    dims = len(sizes)
    order = random.choice([list(range(dims)), list(range(dims)), random.sample(range(dims), dims)])
    if dims == 4 and random.random() < 0.2:
        order = [0, 2, 3, 1]
    grown = [s * random.choice([1, 1, 1, 1, 2]) + random.choice([0, 0, 0, 1]) for s in sizes] if random.random() < 0.3 else sizes
    x = torch.empty([grown[d] for d in order])
    x = x.permute([order.index(d) for d in range(dims)])
    for d, s in enumerate(sizes):
        step = 2 if x.size(d) >= 2 * s > 0 and random.random() < 0.5 else 1
        x = x.narrow(d, 0, min(x.size(d), s * step))[(slice(None),) * d + (slice(None, None, step),)]
    assert list(x.shape) == list(sizes), (x.shape, sizes)
    if dims and random.random() < 0.15:
        strides = [random.choice([1, 2, 5, 100]) if s == 1 and random.random() < 0.5 else t for s, t in zip(sizes, x.stride())]
        x = x.as_strided(sizes, strides)
    return x


def broadcast_operand(sizes):
    part = list(sizes)[random.choice([0, 0, 0, 0, 1, 2]):] if sizes else []
    kind = random.random()
    if kind < 0.15:
        part = [1 if random.random() < 0.4 else s for s in part]
        return random_layout(part)
    if kind < 0.3:
        narrow = [1 if random.random() < 0.4 else s for s in part]
        return random_layout(narrow).expand(part)
    return random_layout(part if kind < 0.5 else sizes)


def random_sizes(most=5):
    zero = random.random() < 0.05
    return [random.choice([1, 2, 2, 3, 4, 5] + ([0] if zero else [])) for _ in range(random.randint(0, most))]


def result_cases(count):
    for _ in range(count):
        sizes = random_sizes()
        inputs = [broadcast_operand(sizes) for _ in range(random.choice([1, 2, 2, 3]))]
        if random.random() < 0.2:
            inputs = [inputs[0]] * len(inputs)
        output = [torch.neg, torch.add, torch.addcmul][len(inputs) - 1](*inputs)
        yield "result  %d  %s" % (len(inputs), "  ".join(map(layout, inputs + [output])))


def random_view(sizes):
    """Sizes that stand a chance: dimensions split, merged, with ones put in."""
    sizes = list(sizes) if random.random() < 0.7 else [torch.Size(sizes).numel()]
    for _ in range(random.randint(0, 3)):
        d = random.randrange(len(sizes)) if sizes else 0
        kind = random.choice([0, 1, 1, 1, 2, 3])
        if kind == 0 or not sizes:
            sizes.insert(d, 1)
        elif kind == 1 and d + 1 < len(sizes):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
        elif kind == 2 and sizes[d] % 2 == 0:
            sizes[d : d + 1] = [2, sizes[d] // 2]
        elif kind == 3 and sizes[d] == 1:
            del sizes[d]
    return sizes[:8] if len(sizes) <= 8 else None


def view_cases(count):
    while count:
        x = broadcast_operand(random_sizes())
        sizes = random_view(x.shape)
        if sizes is None:
            continue
        try:
            end = numbers([1], x.view(sizes).stride())
        except RuntimeError:
            end = "0"
        yield "view  %s  %s  %s" % (layout(x), numbers([len(sizes)], sizes), end)
        count -= 1


def dense_cases(count):
    for _ in range(count):
        x = broadcast_operand(random_sizes())
        dense = x.numel() == 0 or torch.empty_like(x).stride() == x.stride()  # which empty_like keeps only then
        yield "dense  %s  %d" % (layout(x), dense)


def type_cases():
    operands = [("d", t, torch.ones(2, dtype=t)) for t in TYPES] + [("z", t, torch.ones((), dtype=t)) for t in TYPES]
    operands += [("n", torch.float64, 1.5), ("n", torch.int64, 2), ("n", torch.bool, True)]
    for a, b in itertools.product(operands, repeat=2):
        result = torch.result_type(a[2], b[2])
        yield "type  2  %s %s  %s %s  %s" % (a[0], name(a[1]), b[0], name(b[1]), name(result))


def text_of(value):
    return value.hex() if isinstance(value, float) else str(int(value))


def convert_cases():
    fractions = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 255.9, 256.0, 300.7, -255.0, 16777217.0, 2147483520.0, 2147483647.0, 2147483648.0,
                 -2147483648.0, -2147483648.5, -2147483649.0, 3e9, -3e9, 4294967301.0, 9.223372036854775e18, 9.223372036854776e18,
                 -9.223372036854776e18, 1e19, -1e19, 1e-40, 3.5e38, float("inf"), -float("inf"), float("nan")]
    integers = [0, 1, -1, 2, 255, 256, 257, -255, 16777217, 2**31 - 1, 2**31, -(2**31), 2**32 + 5, 2**53 + 1, 2**62 + 2**38 + 1,
                2**63 - 1, -(2**63)]
    for a, b in itertools.product(TYPES, repeat=2):
        if a.is_floating_point:
            values = fractions
        else:
            low, high = (0, 1) if a == torch.bool else (torch.iinfo(a).min, torch.iinfo(a).max)
            values = [v for v in integers if low <= v <= high]
        x = torch.tensor(values, dtype=a)
        for before, after in zip(x.tolist(), x.to(b).tolist()):
            yield "convert  %s %s  %s %s" % (name(a), text_of(before), name(b), text_of(after))


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/data/tensor_cases.txt"
    random.seed(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    with open(path, "w") as file:
        for cases in (result_cases(count), view_cases(count // 2), dense_cases(count // 4), type_cases(), convert_cases()):
            file.writelines(case + "\n" for case in cases)


main()
