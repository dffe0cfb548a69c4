#!/usr/bin/env python3
"""Records what PyTorch's modules do: tests/data/nn_runs.txt, read by tests/nn_runs.c.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0
    /tmp/venv/bin/python tools/record-nn.py

Modules are written in words, a Sequential as a list in brackets; arguments that are left out have their defaults:

    [conv2d in_channels=1 out_channels=4 kernel_size=5,3 | relu | [linear in_features=4 out_features=2 bias=0 dtype=f64]]

A recording is a line, and what it comes to the lines after it, indented by a blank. Numbers come from one recurrence (draw.py), which
begins anew for each.

    print TREE                     the lines that print() prints
    drawn SEED TREE                NAME HASH of each parameter, and of the next torch.rand(1), all in double
    init SEED TYPE SHAPE WORDS     what an initialiser draws, and the next torch.rand(1)
    gain NAME [PARAM]              the number
    run TYPE SHAPE TREE            from torch.manual_seed(3): "y", "x" and each parameter's NAME, and numbers: of the output; of the
                                   gradients of sum(output * weights)
    loss TYPE SHAPE TARGET WORDS   "y", "x" likewise. TARGET: index, index1 (the second is ignore_index), prob, same. With weight=1 in the
                                   words the classes have weights
    clip TYPE MAX_NORM WORDS       "n", the norm; "g", three gradients of shapes (4,9), (3,), ()
    refused WORDS : SENTENCE       of a constructor
"""

import itertools
import math
import os
import random
import struct
import warnings

import torch
from torch import nn

from draw import Draw

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "data", "nn_runs.txt")
TYPES = {"f64": torch.float64, "f32": torch.float32}
MODULES = {
    "linear": nn.Linear, "conv2d": nn.Conv2d, "max_pool2d": nn.MaxPool2d, "dropout": nn.Dropout, "dropout2d": nn.Dropout2d,
    "relu": nn.ReLU, "flatten": nn.Flatten, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "identity": nn.Identity,
    "softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "cross_entropy_loss": nn.CrossEntropyLoss, "nll_loss": nn.NLLLoss,
    "mse_loss": nn.MSELoss,
}  # fmt: skip
FLAGS = ("bias", "inplace", "ceil_mode", "error_if_nonfinite")
TEXTS = ("reduction", "mode", "nonlinearity")


def value_of(key, text):
    if key == "dtype":
        return TYPES[text]
    if key in TEXTS:
        return text
    if key in FLAGS:
        return text == "1"
    if "," in text:
        return tuple(int(side) for side in text.split(","))
    return int(text) if text.lstrip("-").isdigit() else float(text)


def words_of(text):
    name, *arguments = text.split()
    return name, {key: value_of(key, value) for key, value in (a.split("=") for a in arguments)}


def module(text):
    name, arguments = words_of(text)
    return MODULES[name](**arguments)


def tree(text):
    """The module that the text describes; a list is made from left to right."""

    def read(at):
        if text[at] != "[":
            end = next(i for i in range(at, len(text) + 1) if i == len(text) or text[i] in "|]")
            return module(text[at:end]), end
        parts, at = [], at + 1
        while text[at] != "]":
            part, at = read(at)
            parts.append(part)
            at += text[at] == "|"
        return nn.Sequential(*parts), at + 1

    return read(0)[0]


def numbers(x):
    digits = 9 if x.dtype == torch.float32 else 17
    return " ".join(f"{v:.{digits}g}" for v in x.detach().reshape(-1).tolist())


def hash_of(x):
    h = 14695981039346656037
    for byte in struct.pack(f"<{x.numel()}d", *x.detach().double().reshape(-1).tolist()):
        h = (h ^ byte) * 1099511628211 % 2**64
    return f"{h:016x}"


def sizes(shape):
    return ",".join(map(str, shape)) or "-"


# ---- printing ----


def combinations(name, **options):
    """Every combination; None: left out."""
    for values in itertools.product(*options.values()):
        yield name + "".join(f" {k}={v}" for k, v in zip(options, values) if v is not None)


def printed():
    yield from combinations("linear", in_features=[3], out_features=[20], bias=[None, 0, 1], dtype=[None, "f64"])
    yield from combinations("conv2d", in_channels=[4], out_channels=[6], kernel_size=["3", "5,3"], stride=[None, "2", "2,1"],
                            padding=[None, "0,0", "1", "0,2"], dilation=[None, "1,1", "2", "1,3"], groups=[None, 2], bias=[None, 0])  # fmt: skip
    yield from combinations("max_pool2d", kernel_size=["2", "2,2", "3,2"], stride=[None, "2", "2,1"], padding=[None, "1", "0,1"],
                            dilation=[None, "2", "1,2"], ceil_mode=[None, 1])  # fmt: skip
    probabilities = [None, 0, 1, 0.25, 0.1, 1e-05, 0.0001, 0.1 + 0.2, 1 / 3, 0.5000000000000001, 1e-300, 0.123456789012]
    for name in ("dropout", "dropout2d"):
        for p in probabilities:
            yield from combinations(name, p=[None if p is None else repr(float(p))], inplace=[None, 1])
    yield from combinations("relu", inplace=[None, 0, 1])
    yield from combinations("flatten", start_dim=[None, 0, -2], end_dim=[None, 2])
    yield from combinations("softmax", dim=[0, 1, -1])
    yield from combinations("log_softmax", dim=[1, -1])
    yield from ("sigmoid", "tanh", "identity", "[]", "[[]]", "[[]|[relu]]")
    yield from combinations("cross_entropy_loss", ignore_index=[None, 3], reduction=[None, "sum"], label_smoothing=[None, 0.1])
    yield from combinations("nll_loss", reduction=[None, "none"])
    yield from combinations("mse_loss", reduction=[None, "sum"])
    rng = random.Random(7)
    layers = ["linear in_features=3 out_features=4", "relu", "relu inplace=1", "dropout p=0.25", "flatten", "max_pool2d kernel_size=2,2",
              "conv2d in_channels=1 out_channels=2 kernel_size=3", "softmax dim=1", "tanh"]  # fmt: skip

    def nested(depth):
        parts = [nested(depth - 1) if depth and rng.random() < 0.5 else rng.choice(layers) for _ in range(rng.randrange(5))]
        return "[" + "|".join(parts) + "]"

    for _ in range(30):
        yield nested(3)


# ---- default initialisation ----

DRAWN = [
    "linear in_features=1 out_features=1",
    "linear in_features=3 out_features=5 bias=0",
    "linear in_features=0 out_features=4",
    "linear in_features=7 out_features=0",
    "linear in_features=17 out_features=9",
    "linear in_features=6 out_features=5 dtype=f64",
    "linear in_features=200 out_features=10 dtype=f64 bias=0",
    "conv2d in_channels=1 out_channels=10 kernel_size=5",
    "conv2d in_channels=4 out_channels=6 kernel_size=3,2 groups=2",
    "conv2d in_channels=4 out_channels=4 kernel_size=1 groups=4 bias=0",
    "conv2d in_channels=3 out_channels=2 kernel_size=2,5 dtype=f64",
    "conv2d in_channels=0 out_channels=3 kernel_size=2",
    "[conv2d in_channels=1 out_channels=10 kernel_size=5|relu|dropout|[conv2d in_channels=10 out_channels=4 kernel_size=5|"
    "linear in_features=100 out_features=10]|linear in_features=10 out_features=2 dtype=f64]",
]


def drawn(out, seed, text):
    torch.manual_seed(seed)
    made = tree(text)
    out.write(f"drawn {seed} {text}\n")
    for name, p in made.named_parameters():
        out.write(f" {name} {hash_of(p)}\n")
    out.write(f" next {hash_of(torch.rand(1, dtype=torch.float64))}\n")


INIT = [
    "uniform_", "uniform_ a=-2 b=0.5", "normal_", "normal_ mean=3 std=0.25", "xavier_uniform_", "xavier_uniform_ gain=2.5",
    "xavier_normal_", "xavier_normal_ gain=0.5", "kaiming_uniform_", "kaiming_uniform_ a=0.3 mode=fan_out",
    "kaiming_uniform_ nonlinearity=relu", "kaiming_normal_", "kaiming_normal_ mode=fan_out nonlinearity=tanh",
    "kaiming_normal_ a=1 nonlinearity=selu",
]  # fmt: skip


def init(out, seed, dtype, shape, text):
    name, arguments = words_of(text)
    torch.manual_seed(seed)
    x = getattr(nn.init, name)(torch.empty(shape, dtype=TYPES[dtype]), **arguments)
    out.write(f"init {seed} {dtype} {sizes(shape)} {text}\n {numbers(x)} {numbers(torch.rand(1, dtype=torch.float64))}\n")


# ---- running ----

RUN = [
    ((5, 3), "linear in_features=3 out_features=4"),
    ((3,), "linear in_features=3 out_features=4 bias=0"),
    ((2, 1, 2, 3), "linear in_features=3 out_features=2"),
    ((0, 3), "linear in_features=3 out_features=2"),
    ((2, 2, 6, 5), "conv2d in_channels=2 out_channels=3 kernel_size=3"),
    ((1, 4, 6, 7), "conv2d in_channels=4 out_channels=6 kernel_size=3,2 stride=2,1 padding=1,0 dilation=1,2 groups=2"),
    ((2, 4, 5), "conv2d in_channels=2 out_channels=2 kernel_size=3 padding=1 bias=0"),
    ((1, 3, 3, 3), "conv2d in_channels=3 out_channels=3 kernel_size=2 groups=3 stride=2"),
    ((2, 2, 6, 5), "max_pool2d kernel_size=2"),
    ((1, 2, 7, 7), "max_pool2d kernel_size=3,2 stride=2 padding=1 ceil_mode=1"),
    ((2, 6, 6), "max_pool2d kernel_size=2 stride=1 dilation=2"),
    ((4, 6), "dropout p=0.25"),
    ((4, 6), "dropout"),
    ((3, 5), "dropout p=0"),
    ((3, 5), "dropout p=1"),
    ((2, 3, 2, 2), "dropout2d p=0.4"),
    ((4, 6), "[linear in_features=6 out_features=4|dropout p=0.3 inplace=1]"),
    ((2, 3, 2, 2), "[conv2d in_channels=3 out_channels=3 kernel_size=1|dropout2d inplace=1]"),
    ((3, 4), "relu"),
    ((3, 4), "[linear in_features=4 out_features=5|relu inplace=1|linear in_features=5 out_features=2]"),
    ((2, 3, 2, 2), "flatten"),
    ((2, 3, 2, 2), "flatten start_dim=0 end_dim=-2"),
    ((3, 4), "sigmoid"),
    ((3, 4), "tanh"),
    ((3, 4), "identity"),
    ((3, 4), "softmax dim=0"),
    ((3, 4), "log_softmax dim=-1"),
    ((2, 3), "[]"),
    ((2, 1, 8, 8), "[conv2d in_channels=1 out_channels=3 kernel_size=3|relu|max_pool2d kernel_size=2,2|dropout2d p=0.25 inplace=0|flatten|"
     "linear in_features=27 out_features=4|relu]"),  # fmt: skip
]


def run(out, dtype, shape, text):
    draw = Draw()
    made = tree(text).to(TYPES[dtype])
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(draw(p.shape, p.dtype))
    x = draw(shape, TYPES[dtype], 2).requires_grad_()
    torch.manual_seed(3)
    y = made(x)
    (y * draw(y.shape, y.dtype)).sum().backward()
    out.write(f"run {dtype} {sizes(shape)} {text}\n")
    for name, values in [("y", y), ("x", x.grad)] + [(n, p.grad) for n, p in made.named_parameters()]:
        out.write(f" {name} {numbers(values)}\n")


LOSSES = [
    ((6, 4), "index", "cross_entropy_loss"),
    ((6, 4), "index", "cross_entropy_loss reduction=sum"),
    ((6, 4), "index", "cross_entropy_loss reduction=none weight=1"),
    ((6, 4), "index", "cross_entropy_loss weight=1"),
    ((6, 4), "index1", "cross_entropy_loss weight=1 ignore_index=2"),
    ((6, 4), "index1", "cross_entropy_loss reduction=none"),
    ((6, 4), "index", "cross_entropy_loss label_smoothing=0.2"),
    ((6, 4), "index1", "cross_entropy_loss label_smoothing=0.2 weight=1"),
    ((6, 4), "index1", "cross_entropy_loss label_smoothing=0.1 reduction=none"),
    ((4,), "index", "cross_entropy_loss"),
    ((2, 3, 4), "index", "cross_entropy_loss"),
    ((6, 4), "prob", "cross_entropy_loss"),
    ((6, 4), "prob", "cross_entropy_loss label_smoothing=0.3 weight=1 reduction=sum"),
    ((6, 4), "index", "nll_loss"),
    ((6, 4), "index1", "nll_loss weight=1"),
    ((6, 4), "index1", "nll_loss weight=1 ignore_index=1 reduction=sum"),
    ((6, 4), "index", "nll_loss reduction=none"),
    ((3, 5), "same", "mse_loss"),
    ((3, 5), "same", "mse_loss reduction=sum"),
    ((3, 5), "same", "mse_loss reduction=none"),
]


def loss(out, dtype, shape, target, text):
    name, arguments = words_of(text)
    draw = Draw()
    classes = shape[1] if len(shape) > 1 else shape[0]
    x = draw(shape, TYPES[dtype], 3).requires_grad_()
    if arguments.pop("weight", 0):
        arguments["weight"] = draw((classes,), TYPES[dtype]) + 1.5
    made = MODULES[name](**arguments)
    if target == "same":
        y = draw(shape, TYPES[dtype], 3)
    elif target == "prob":
        y = draw(shape, TYPES[dtype]) + 1
    else:
        counted = draw(shape[:1] + shape[2:] if len(shape) > 1 else (), torch.float64)
        y = ((counted + 1) * (classes / 2)).long()
        if target == "index1":
            y[1] = arguments.get("ignore_index", -100)
    value = made(x, y)
    (value * draw(value.shape, value.dtype)).sum().backward()
    out.write(f"loss {dtype} {sizes(shape)} {target} {text}\n y {numbers(value)}\n x {numbers(x.grad)}\n")


def clip(out, dtype, max_norm, text):
    _, arguments = words_of("clip " + text)
    draw = Draw()
    params = [nn.Parameter(torch.zeros(s, dtype=TYPES[dtype])) for s in ((4, 9), (3,), (), (2,))]
    for p in params[:3]:
        p.grad = draw(p.shape, p.dtype, 3)
    n = nn.utils.clip_grad_norm_(params, max_norm, **arguments)
    grads = torch.cat([p.grad.reshape(-1) for p in params[:3]])
    out.write(f"clip {dtype} {max_norm!r} {text}\n n {numbers(n)}\n g {numbers(grads)}\n")


REFUSED = [
    "conv2d in_channels=4 out_channels=6 kernel_size=3 groups=0",
    "conv2d in_channels=4 out_channels=6 kernel_size=3 groups=-2",
    "conv2d in_channels=3 out_channels=6 kernel_size=3 groups=2",
    "conv2d in_channels=4 out_channels=5 kernel_size=3 groups=2",
    "dropout p=1.5",
    "dropout p=-0.1",
    "dropout2d p=2",
]


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with open(OUT, "w") as out:
        out.write(f"# by tools/record-nn.py, torch {torch.__version__.split('+')[0]}\n")
        for text in printed():
            out.write(f"print {text}\n" + "".join(f" {line}\n" for line in str(tree(text)).split("\n")))
        for text in DRAWN:
            for seed in (0, 1, 20260113):
                drawn(out, seed, text)
        for text in INIT:
            for dtype, shape in (("f32", (4, 3)), ("f32", (2, 3, 2, 2)), ("f64", (5, 4))):
                init(out, 11, dtype, shape, text)
        for name in ("linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
            out.write(f"gain {name}\n {nn.init.calculate_gain(name):.17g}\n")
        for slope in (0, 0.3, math.sqrt(5)):
            out.write(f"gain leaky_relu {slope!r}\n {nn.init.calculate_gain('leaky_relu', slope):.17g}\n")
        for shape, text in RUN:
            for dtype in TYPES:
                run(out, dtype, shape, text)
        for shape, target, text in LOSSES:
            for dtype in TYPES:
                loss(out, dtype, shape, target, text)
        for dtype, max_norm, norm_type in itertools.product(TYPES, (0.5, 1000.0), (None, 1, 3, 0, 0.5, -1, "inf", "-inf")):
            clip(out, dtype, max_norm, f"norm_type={norm_type}" if norm_type is not None else "")
        for text in REFUSED:
            try:
                raise SystemExit(f"{module(text)} is there")
            except ValueError as error:
                out.write(f"refused {text} : {error}\n")


if __name__ == "__main__":
    main()
