#!/usr/bin/env python3
"""Records what PyTorch's optimisers do: tests/data/optim_runs.txt, read by tests/test_optim.c.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0
    /tmp/venv/bin/python tools/record-optim.py

A run is a line, and what it comes to the lines after it:

    run sgd f64 lr=0.1 momentum=0.9      the kind, the parameters' type, the arguments (0 or 1 for False or True)
    = 1 0.25 -0.5 ...                    all parameters' elements after that many steps
    names state.0.momentum_buffer ...    the names in state_dict() at the end, joined by dots; those of arguments that Argent has
    refused sgd lr=-1.0 : Invalid learning rate: -1.0

The parameters have shapes (4,9), (3,), (). They and their gradients are drawn from one recurrence (tools/draw.py). The last parameter has no gradient in steps 1, 4, 7, ...
"""

import itertools
import os

import torch

from draw import Draw

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "data", "optim_runs.txt")
SHAPES = [(4, 9), (3,), ()]
STEPS, KEPT = 50, (1, 2, 50)
TYPES = {"f64": torch.float64, "f32": torch.float32}
KINDS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
OURS = {"lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "betas", "eps", "amsgrad", "params"}


def optimizer(kind, params, arguments):
    a = dict(arguments)
    for flag in ("nesterov", "maximize", "amsgrad"):
        if flag in a:
            a[flag] = bool(a[flag])
    if "beta1" in a or "beta2" in a:
        a["betas"] = (a.pop("beta1", 0.9), a.pop("beta2", 0.999))
    return KINDS[kind](params, **a)


def names(opt):
    state = opt.state_dict()
    found = [f"state.{i}.{k}" for i, s in state["state"].items() for k, v in s.items() if v is not None]
    for key, value in state["param_groups"][0].items():
        if key not in OURS:
            continue
        parts = range(len(value)) if key == "betas" else None
        found += [f"param_groups.0.{key}.{k}" for k in parts] if parts else [f"param_groups.0.{key}"]
    return found


def text(arguments):
    return "".join(f" {k}={v!r}" for k, v in arguments.items())


def run(out, kind, dtype, arguments):
    out.write(f"run {kind} {dtype}{text(arguments)}\n")
    draw = Draw()
    params = [torch.nn.Parameter(draw(s, TYPES[dtype])) for s in SHAPES]
    opt = optimizer(kind, params, arguments)
    for step in range(1, STEPS + 1):
        for p, s in zip(params, SHAPES):
            p.grad = draw(s, TYPES[dtype], 0.5 ** (step % 4))
        if step % 3 == 1:
            params[-1].grad = None
        opt.step()
        if step in KEPT:
            digits = 17 if dtype == "f64" else 9
            values = torch.cat([p.detach().reshape(-1) for p in params]).tolist()
            out.write(f"= {step} " + " ".join(f"{v:.{digits}g}" for v in values) + "\n")
    if dtype == "f64":
        out.write("names " + " ".join(names(opt)) + "\n")


def runs():
    for momentum, dampening, decay, nesterov, maximize in itertools.product((0, 0.9), (0, 0.25), (0, 0.01), (0, 1), (0, 1)):
        if nesterov and (momentum == 0 or dampening):
            continue
        given = dict(lr=0.1, momentum=momentum, dampening=dampening, weight_decay=decay, nesterov=nesterov, maximize=maximize)
        yield "sgd", {k: v for k, v in given.items() if v}
    yield "sgd", {}
    for decay, amsgrad, maximize in itertools.product((0, 0.01), (0, 1), (0, 1)):
        yield "adam", {"lr": 0.02} | {k: v for k, v in dict(weight_decay=decay, amsgrad=amsgrad, maximize=maximize).items() if v}
    yield "adam", {}
    yield "adam", dict(lr=0.01, beta1=0.25, beta2=0.5, eps=0.001)
    yield "adam", dict(lr=0.01, beta1=0.0, beta2=0.0, eps=0.5)


REFUSED = [
    ("sgd", dict(lr=-1.0)),
    ("sgd", dict(momentum=-0.5)),
    ("sgd", dict(weight_decay=-1e-05)),
    ("sgd", dict(nesterov=1)),
    ("sgd", dict(nesterov=1, momentum=0.9, dampening=0.1)),
    ("adam", dict(lr=-0.1)),
    ("adam", dict(eps=-1e-08)),
    ("adam", dict(beta1=1.0)),
    ("adam", dict(beta2=-0.25)),
    ("adam", dict(beta2=1.5)),
    ("adam", dict(weight_decay=-2.0)),
]


def main():
    assert torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    with open(OUT, "w") as out:
        out.write(f"# by tools/record-optim.py, torch {torch.__version__.split('+')[0]}\n")
        for kind, arguments in runs():
            for dtype in TYPES:
                run(out, kind, dtype, arguments)
        for kind, arguments in REFUSED:
            try:
                optimizer(kind, [torch.nn.Parameter(torch.zeros(1))], arguments)
                raise SystemExit(f"{kind} takes {arguments}")
            except ValueError as error:
                out.write(f"refused {kind}{text(arguments)} : {error}\n")


if __name__ == "__main__":
    main()
