#!/usr/bin/env python3
"""Records what PyTorch answers to the rows of tests/data/op_rows.txt: tests/data/op_answers.txt, read by tests/op_rows.c.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0
    /tmp/venv/bin/python tools/record-op-rows.py            all of them
    /tmp/venv/bin/python tools/record-op-rows.py conv2d mm  the answers of these ops, on standard output

A row is a call, written as in Python, whose Variables are described by their shape; op_rows.txt says how. Each row becomes several
cases: float64 in several layouts, and the other types. A case is a line, and its answers are the lines after it:

    mul f64[2,3]/1,2~-2:2 f64[3]~-2:2 alpha=f2      the call: positional values, then named ones
    = f64[2,3]/1,2 - MulBackward0 : 1 2 3 4 5 6     a result: type, sizes, strides, whose memory it is, node
                                                    (leaf: none, but a gradient is wanted), elements
    = i64[2]/1 - - : 0 1                            another result
    g0 [3] : 1 2 3                                  the gradient of sum(result * weights) by the first float64 Variable
    ! index 3 is out of bounds                      instead of results: PyTorch refuses the call, in these words if there are any

A " in place of elements: those of the case before, in float32 as far as it can tell. A * in place of strides or a node: the library
has its own. A ~ before a case: no finite differences; ^: PyTorch's gradient is good to 1e-7 only.

Elements are numbers that both sides draw from the same recurrence (see draw below and in tests/op_rows.c).
"""

import itertools
import math
import os
import re
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = os.path.join(HERE, "..", "tests", "data", "op_rows.txt")
ANSWERS = os.path.join(HERE, "..", "tests", "data", "op_answers.txt")

TYPES = {"f64": torch.float64, "f32": torch.float32, "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}
NAMES = {dtype: name for name, dtype in TYPES.items()}
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 3.0, 6.0, -3.0, 100.0, -100.0]


# ---- numbers that both sides can make ----


def draw(kind, seed, n, low, high):
    """n numbers: kind u: evenly from [low, high); k: the whole numbers below those; s: SPECIAL, from the seed-th on, round and round."""
    if kind == "s":
        return [SPECIAL[(seed - 1 + i) % len(SPECIAL)] for i in range(n)]
    state, values = seed * 2654435761 % 2**32, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        value = low + (high - low) * (state >> 20) / 4096
        values.append(math.floor(value) if kind == "k" else value)
    return values


class Tensor:
    """A Variable of a row: its shape, and what its elements are drawn from. `dtype` None: takes part in the change of types."""

    def __init__(self, *shape, low=-2, high=2, kind="u", dtype=None, constant=False):
        self.shape, self.low, self.high, self.kind, self.dtype, self.constant = shape, low, high, kind, dtype, constant

    def __call__(self, dtype, layout):
        copy = Tensor(*self.shape, low=self.low, high=self.high, kind=self.kind, dtype=self.dtype or dtype, constant=self.constant)
        copy.strides, copy.offset = LAYOUTS[layout](self.shape)
        return copy

    def make(self, seed):
        """The elements are drawn in row-major order, whatever the layout; where memory repeats, the last one drawn stays."""
        dtype, n = TYPES[self.dtype], math.prod(self.shape)
        if self.dtype == "bool":
            values = [math.floor(v) % 2 != 0 for v in draw("u", seed, n, 0, 4)]
        elif dtype.is_floating_point:
            values = draw(self.kind, seed, n, self.low, self.high)
        else:
            values = draw("k", seed, n, self.low, self.high)
            values = [v % 256 for v in values] if self.dtype == "u8" else values
        places = [self.offset + sum(i * s for i, s in zip(at, self.strides)) for at in itertools.product(*map(range, self.shape))]
        memory = [0] * (max(places) + 1 if places else 0)
        for place, value in zip(places, values):
            memory[place] = value
        return torch.tensor(memory, dtype=dtype).as_strided(self.shape, self.strides, self.offset if places else 0)

    def text(self):
        text = self.dtype + sizes(self.shape)
        if self.strides != contiguous(self.shape)[0]:
            text += "/" + ",".join(map(str, self.strides))
        if self.offset:
            text += "@%d" % self.offset
        if self.kind == "s":
            return text + "s"
        return text + ("~" if self.kind == "u" else "k") + "%r:%r" % (self.low, self.high) + ("!" if self.constant else "")


def sizes(shape):
    return "[" + ",".join(map(str, shape)) + "]"


# ---- layouts: strides and offset of a shape ----


def contiguous(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides), 0


def transposed(shape):
    return tuple(reversed(contiguous(tuple(reversed(shape)))[0])), 0


def gaps(shape):
    if not shape:
        return (), 1
    strides, _ = contiguous(shape[:-1] + (2 * shape[-1],))
    return strides[:-1] + (2,), 1


def repeated(shape):
    strides, _ = contiguous(shape[1:])
    return (0,) * min(1, len(shape)) + strides, 0


def batch_last(shape):
    strides, _ = contiguous(shape[1:])
    return (1,) + tuple(s * max(shape[0], 1) for s in strides), 0


LAYOUTS = {"contiguous": contiguous, "transposed": transposed, "gaps": gaps, "repeated": repeated, "batch_last": batch_last}


# ---- rows ----


class Row:
    def __init__(self, op, positional, named, flags=()):
        self.op, self.positional, self.named, self.flags = op, positional, named, set(flags)

    def tensors(self):
        for value in itertools.chain(self.positional, self.named.values()):
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, list):
                yield from value

    def in_layout(self, dtype, layout):
        def change(value):
            if isinstance(value, Tensor):
                return value(dtype, layout)
            return [item(dtype, layout) for item in value] if isinstance(value, list) else value

        row = Row(self.op, [change(v) for v in self.positional], {k: change(v) for k, v in self.named.items()}, self.flags)
        row.layout = layout
        return row

    def text(self):
        words = [self.op] + [value_text(v) for v in self.positional] + [k + "=" + value_text(v) for k, v in self.named.items()]
        return " ".join(words)


def value_text(value):
    if isinstance(value, Tensor):
        return value.text()
    if isinstance(value, list):
        return "{" + ";".join(v.text() for v in value) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(str, value)) + ")"
    if isinstance(value, torch.dtype):
        return "d" + NAMES[value]
    if isinstance(value, bool):
        return "b%d" % value
    if isinstance(value, int):
        return "i%d" % value
    if isinstance(value, float):
        return "f%r" % value
    if isinstance(value, str):
        return "'" + value
    if value is None:
        return "N"
    raise SystemExit("a row cannot hold %r" % (value,))


class Language(dict):
    """What a row may say: the words below, and any other name as an op."""

    def __missing__(self, name):
        return lambda *positional, **named: Row(name, list(positional), named)


def flagged(flag):
    def mark(row):
        for each_row in row if isinstance(row, list) else [row]:
            each_row.flags.add(flag)
        return row

    return mark


def each(names, *arguments, **named):
    return [Row(name, list(arguments), dict(named)) for name in names.split()]


def unary(names, low=-2, high=2, **named):
    """The shapes of a pointwise op of one Variable."""
    rows = []
    for name in names.split():
        for shape in (2, 3), (), (0, 3), (1,), (3, 1, 7):
            rows.append(Row(name, [Tensor(*shape, low=low, high=high)], dict(named)))
        rows.append(Row(name, [Tensor(9, low=-4, high=4, kind="k")], dict(named), {"special", "once"}))
    return rows


PAIRS = [((2, 3), (2, 3)), ((3,), (2, 3)), ((2, 3), (2, 1)), ((2, 1), (3,)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((0, 3), (1, 3)), ((1,), (1,)), ((3, 1, 5), (2, 1))]
MIXED = [("f32", "f64"), ("i64", "f32"), ("u8", "i32"), ("bool", "u8"), ("bool", "f64")]


def binary(names, low=-2, high=2, other=None, number=2, **named):
    """The shapes of a pointwise op of two: equal, broadcast on the left, on the right, on both sides, 0-dim, empty, one element; a number;
    two types."""
    rows = []
    other = other or (low, high)
    for name in names.split():
        for a, b in PAIRS:
            rows.append(Row(name, [Tensor(*a, low=low, high=high), Tensor(*b, low=other[0], high=other[1])], dict(named)))
        if number is not None:
            rows.append(Row(name, [Tensor(2, 3, low=low, high=high), number], dict(named)))
            rows.append(Row(name, [Tensor(2, 3, low=low, high=high), float(number) + 0.5], dict(named)))
        small = lambda: Tensor(12, low=-2, high=3, kind="k")
        rows.append(Row(name, [small(), small()], dict(named), {"special", "once"}))
        for one, two in MIXED:
            for shape in (3,), ():
                rows.append(Row(name, [Tensor(2, 3, low=1, high=4, dtype=one), Tensor(*shape, low=1, high=4, dtype=two)], dict(named), {"once"}))
    return rows


def reductions(names, low=-2, high=2):
    """The shapes of an op that reduces dimensions dim."""
    rows = []
    for name in names.split():
        new = lambda *shape, **named: rows.append(Row(name, [Tensor(*shape, low=low, high=high)], named))
        new(2, 3, 4)
        new(2, 3, 4, dim=1)
        new(2, 3, 4, dim=-1, keepdim=True)
        new()
        new(1)
        new(5, 1, dim=0)
        new(3, 0, dim=0)
        new(0, 3, dim=0)
        new(0)
        rows.append(Row(name, [Tensor(4, 4, kind="s")], {"dim": 1}, {"special"}))
        rows.append(Row(name, [Tensor(4, 5, low=0, high=3, kind="k")], {"dim": 1}, {"special"}))
    return rows


LANGUAGE = Language(
    x=Tensor,
    pos=lambda *shape: Tensor(*shape, low=0.25, high=2.25),
    fixed=lambda *shape: Tensor(*shape, low=0.25, high=2.25, constant=True),
    k=lambda *shape, low=-3, high=3: Tensor(*shape, low=low, high=high, kind="k"),
    s=lambda *shape: Tensor(*shape, kind="s"),
    index=lambda n, *shape: Tensor(*shape, low=0, high=n, dtype="i64"),
    mask=lambda *shape: Tensor(*shape, dtype="bool"),
    typed=lambda dtype, *shape, low=-2, high=2: Tensor(*shape, low=low, high=high, dtype=dtype),
    unary=unary,
    binary=binary,
    reductions=reductions,
    each=each,
    special=flagged("special"),
    rough=flagged("rough"),
    more_types=flagged("more_types"),
    batch_last=flagged("batch_last"),
    own_node=flagged("own_node"),
    own_strides=flagged("own_strides"),
    once=flagged("once"),
    shape_only=flagged("shape_only"),
    says=flagged("says"),
    f64=torch.float64,
    f32=torch.float32,
    i64=torch.int64,
    i32=torch.int32,
    u8=torch.uint8,
    bool=torch.bool,
    inf=math.inf,
)


def read_rows():
    """The rows, and the lines on ops that are covered by others."""
    rows, covered = [], []
    with open(ROWS) as file:
        for line in file:
            if line.startswith("covered "):
                covered.append(line.rstrip())
            elif line.split("#")[0].strip():
                row = eval(line.split("#")[0], {"__builtins__": {}}, LANGUAGE)
                rows += row if isinstance(row, list) else [row]
    return rows, covered


def cases_of(row, first):
    """The row in the layouts and types it is to be tried in. `first`: of its op, which is tried in all of them."""
    tensors = list(row.tensors())
    yield row.in_layout("f64", "contiguous")
    if "once" in row.flags:
        return
    if "special" in row.flags:
        yield row.in_layout("f32", "contiguous")
        return
    widest = max((len(t.shape) for t in tensors), default=0)
    varies = any(t.dtype is None for t in tensors)
    if any(t.shape for t in tensors):
        yield row.in_layout("f64", "gaps")
        if widest >= 2:
            yield row.in_layout("f64", "transposed")
    if widest == 4:
        yield row.in_layout("f64", "batch_last")
    if varies and first:
        yield row.in_layout("f32", "contiguous")
        yield row.in_layout("f32", "transposed" if widest >= 2 else "gaps")
        for dtype in ("i64", "i32", "u8", "bool") if row.op[0] != "_" else ():
            yield row.in_layout(dtype, "contiguous")
        yield row.in_layout("f64", "repeated")
    elif varies:
        yield row.in_layout("f32", "gaps")
        if not any(0 in t.shape for t in tensors) and row.op[0] != "_":
            yield row.in_layout("i64", "gaps")


# ---- what PyTorch says ----

aten = torch.ops.aten
FORMATS = [torch.preserve_format, torch.contiguous_format]
OWN_NAMES = {
    "max_dim": torch.max,
    "div_mode": torch.div,
    "clamp_tensor": torch.clamp,
    "fill_tensor_": torch.Tensor.fill_,
    "min_dim": torch.min,
    "slice": aten.slice,
    "scatter_value": torch.scatter,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "kl_div": F.kl_div,
    "linalg.vector_norm": torch.linalg.vector_norm,
    "round_decimals": lambda x, decimals: torch.round(x, decimals=decimals),
    "float": lambda x, memory_format=0: x.float(memory_format=FORMATS[memory_format]),
    "double": lambda x, memory_format=0: x.double(memory_format=FORMATS[memory_format]),
    "int": lambda x, memory_format=0: x.int(memory_format=FORMATS[memory_format]),
    "long": lambda x, memory_format=0: x.long(memory_format=FORMATS[memory_format]),
    "contiguous": lambda x, memory_format=1: x.contiguous(),
    "clone": lambda x, memory_format=0: x.clone(memory_format=FORMATS[memory_format]),
    "max_pool2d_with_indices": lambda *a, **k: F.max_pool2d(*a, **k, return_indices=True),
    "max_pool2d": F.max_pool2d,
    "nll_loss": F.nll_loss,
    "dropout": F.dropout,
    "dropout2d": F.dropout2d,
    "nn_grad_conv2d_input": torch.nn.grad.conv2d_input,
    "nn_grad_conv2d_weight": torch.nn.grad.conv2d_weight,
    "as_strided": lambda x, size, stride, storage_offset=-1: torch.as_strided(x, size, stride, None if storage_offset == -1 else storage_offset),
    "max_pool2d.return_indices": F.max_pool2d,
}


def function_of(name):
    if name in OWN_NAMES:
        return OWN_NAMES[name]
    name = name.split(".")[0]  # PyTorch finds the overload by the arguments
    for home in torch, F, torch.Tensor:
        if hasattr(home, name):
            return getattr(home, name)
    raise SystemExit("PyTorch has no %s: say in OWN_NAMES what it stands for" % name)


def number(value, dtype):
    if not dtype.is_floating_point:
        return str(int(value))
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = "%.*g" % (8 if dtype == torch.float32 else 14, value)
    return "0" if text == "-0" else text


def numbers(tensor):
    if tensor._is_zerotensor():  # a gradient without memory
        tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return " ".join(number(v, tensor.dtype) for v in tensor.detach().reshape(-1).tolist())


def sentence(error):
    """PyTorch's first line, without the name of the function before it."""
    return re.sub(r"^\w+\(\): ", "", str(error).split("\n")[0])


MARKS = {"special": "~", "rough": "^"}


class Before:
    """The elements of the case before, for results and gradients that are the same again."""

    def __init__(self):
        self.elements = {}

    def text(self, key, tensor):
        """The elements, or a ditto mark."""
        old, new = self.elements.get(key), tensor.detach().reshape(-1).to(torch.float64)
        if old is not None and old.shape == new.shape and new.numel() > 1:
            tolerance = 5e-7 if tensor.dtype == torch.float32 else 1e-14 if tensor.dtype == torch.float64 else 0
            if torch.allclose(new, old, rtol=tolerance, atol=tolerance, equal_nan=True):
                return '"'
        self.elements[key] = new
        return numbers(tensor)


def memory_of(result, arguments):
    """s0: the first Variable itself; v0: a view of it; -: its own."""
    for i, argument in enumerate(arguments):
        if result is argument:
            return "s%d" % i
    for i, argument in enumerate(arguments):
        if argument.untyped_storage().data_ptr() and argument.untyped_storage().data_ptr() == result.untyped_storage().data_ptr():
            return "v%d" % i
    return "-"


def node_of(result):
    if result.grad_fn is not None:
        return result.grad_fn.name().removeprefix("torch::autograd::")
    return "leaf" if result.requires_grad else "-"


def run(row, before):
    """The lines of a case."""
    seeds = itertools.count(1)
    arguments = []

    def make(value):
        if isinstance(value, list):
            return [make(v) for v in value]
        if not isinstance(value, Tensor):
            return value
        made = value.make(next(seeds)).detach()  # not a view
        if made.dtype == torch.float64 and not value.constant:
            made.requires_grad_()
        arguments.append(made)
        return made

    positional = [make(v) for v in row.positional]
    named = {k: make(v) for k, v in row.named.items()}
    wanted = [leaf for leaf in arguments if leaf.requires_grad]
    if row.op.endswith("_") and arguments[0].requires_grad:  # a leaf may not be changed, a copy of it may
        positional[0] = arguments[0] = positional[0].clone()
    torch.manual_seed(0)
    lines = ["".join(mark for flag, mark in MARKS.items() if flag in row.flags) + row.text()]
    try:
        results = function_of(row.op)(*positional, **named)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError) as error:
        if "more_types" in row.flags:
            return []
        return lines + ["! " + sentence(error) if "says" in row.flags else "!"]
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    results = [torch.tensor(result) if isinstance(result, bool) else result for result in results]
    any_elements = "shape_only" in row.flags
    for i, result in enumerate(results):
        strides = ",".join(map(str, result.stride()))
        if "batch_last" in row.flags and row.layout == "batch_last" and result.dim() == 4:
            strides = ",".join(map(str, batch_last(result.shape)[0]))
        if "own_strides" in row.flags:
            strides = "*"
        node = "*" if "own_node" in row.flags else node_of(result)
        text = "= %s%s/%s %s %s" % (NAMES[result.dtype], sizes(result.shape), strides, memory_of(result, arguments), node)
        lines.append(text + (" ? :" if any_elements else " : " + before.text(i, result)))
    differentiable = [r for r in results if r.requires_grad]
    if differentiable and wanted and not any_elements:
        weights = [torch.tensor(draw("u", 77 + i, r.numel(), -1, 1), dtype=r.dtype).reshape(r.shape) for i, r in enumerate(differentiable)]
        try:
            gradients = torch.autograd.grad(differentiable, wanted, weights, allow_unused=True)
        except RuntimeError:  # of sub by a bool, which PyTorch cannot negate
            gradients = []
        for i, gradient in enumerate(gradients):
            lines.append("g%d %s" % (i, "none" if gradient is None else sizes(gradient.shape) + " : " + before.text("g%d" % i, gradient)))
    return lines


def main():
    rows, covered = read_rows()
    only = set(sys.argv[1:])
    rows.sort(key=lambda row: row.op)  # a stable sort: the cases of an op stand together
    lines = ["# Recorded from PyTorch %s by tools/record-op-rows.py from op_rows.txt." % torch.__version__.split("+")[0]] + covered
    seen, written = set(), set()
    for row in rows:
        if only and row.op not in only:
            continue
        first = row.op not in seen and not row.flags & {"once", "special"}
        if first:
            seen.add(row.op)
        before = Before()
        for case in cases_of(row, first):
            text = case.text()
            if text not in written:
                written.add(text)
                lines += run(case, before)
    text = "\n".join(lines) + "\n"
    if only:
        sys.stdout.write(text)
        return
    with open(ANSWERS, "w") as file:
        file.write(text)


main()
