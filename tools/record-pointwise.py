#!/usr/bin/env python3
"""Records what PyTorch's pointwise ops give for every type, as tests/data/pointwise_calls.txt; tests/test_pointwise_calls.c replays it.

    tools/record-pointwise.py > tests/data/pointwise_calls.txt       (PyTorch 2.13)

A line is a call and its outcome, words apart by blanks:

    <op> <argument> ... -> <result> [grad <tensor or -> ...]
    <op> <argument> ... !! <PyTorch's sentence>

An argument is a tensor, a number i:3 f:1.5 b:1, or an option name=f:2. A tensor is dtype:shape:strides:values, its lists apart by
commas, "-" for an empty list; strides "-" also mean row-major. Values stand in row-major order. An op that ends in _ changes its first argument. Gradients, of sum(result * 1.5), stand one a tensor argument.
"""
import warnings

import torch
import torch.nn.functional as F

warnings.simplefilter("ignore")
torch.set_num_threads(1)
FLOATS = [torch.float32, torch.float64]
TYPES = FLOATS + [torch.int64, torch.int32, torch.uint8, torch.bool]
NAN, INF = float("nan"), float("inf")

SAMPLES = {
    torch.float32: [-2.5, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 7.0, INF, -INF, NAN, -3.0, 3.0, 6.0, 30.0, -30.0],
    torch.int64: [-(2**63), -3, -1, 0, 1, 2, 7, 2**63 - 1],
    torch.int32: [-(2**31), -3, -1, 0, 1, 2, 7, 2**31 - 1],
    torch.uint8: [0, 1, 2, 7, 128, 255],
    torch.bool: [False, True],
}
SAMPLES[torch.float64] = SAMPLES[torch.float32]

UNARY = ("neg abs sign square reciprocal sqrt rsqrt exp expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh erf sigmoid "
         "erfc erfinv exp2 asinh acosh atanh sinc deg2rad rad2deg frac sgn mish isnan isinf isfinite isposinf isneginf "
         "floor ceil round trunc relu relu6 gelu silu selu softsign hardsigmoid hardswish logsigmoid logical_not").split()
WITH = {
    "clamp": [dict(min=-1.0, max=1.5), dict(min=0.5), dict(max=2.0), dict(min=2, max=1), dict(min=-1, max=300), dict(min=0, max=2), dict(min=NAN), {}],
    "hardtanh": [{}, dict(min_val=0, max_val=2), dict(min_val=-0.5, max_val=6.0)],
    "threshold": [dict(threshold=1, value=-3), dict(threshold=0.5, value=20.0), dict(threshold=0, value=300)],
    "leaky_relu": [{}, dict(negative_slope=0.5)],
    "elu": [{}, dict(alpha=1.5)],
    "celu": [{}, dict(alpha=1.5)],
    "hardshrink": [{}, dict(lambd=1.0)],
    "logit": [{}, dict(eps=0.25)],
    "softplus": [{}, dict(beta=2.0, threshold=3.0)],
}
COMPARE = "eq ne lt le gt ge".split()
TENSORS_ONLY = "maximum minimum atan2 fmax fmin hypot logaddexp logaddexp2 logical_and logical_or logical_xor".split()
BINARY = "fmax fmin hypot logaddexp logaddexp2 xlogy rsub logical_and logical_or logical_xor mul div pow atan2 maximum minimum add sub".split() + COMPARE
# softsign is three ops, whose gradients at infinity are NaN; at NaN those of the others are zero in PyTorch's vector loops alone
ODD_GRADIENT = ["softsign", "hardshrink", "logit"]
NO_INPLACE = "isnan isinf isfinite isposinf isneginf hardshrink fmax fmin logaddexp logaddexp2 rsub gelu softsign logsigmoid softplus maximum minimum where".split()


def function(op):
    if op == "relu6" or op == "softsign" or op == "logsigmoid":
        return getattr(F, op)
    if op in ("silu_", "relu6_", "hardswish_", "hardsigmoid_", "mish_"):
        return lambda x: getattr(F, op[:-1])(x, inplace=True)
    for place in (torch, F, torch.Tensor):
        if hasattr(place, op):
            return getattr(place, op)
    raise KeyError(op)


def number(v):
    if isinstance(v, bool):
        return "b:%d" % v
    return "i:%d" % v if isinstance(v, int) else "f:" + short(v)


def short(v):
    """As few digits as give v back."""
    text = repr(v)
    return text[:-2] if text.endswith(".0") else text


def brief(v, dtype):
    """A float32 with 9 digits: enough to give it back."""
    return short(v) if dtype == torch.float64 or v != v or abs(v) == INF else short(float("%.9g" % v))


def listed(values):
    return ",".join(values) or "-"


def row_major(t):
    return t.is_contiguous()


def text(t):
    if not isinstance(t, torch.Tensor):
        return number(t)
    flat = t.detach().reshape(-1).tolist()
    values = [brief(v, t.dtype) if t.dtype.is_floating_point else str(int(v)) for v in flat]
    strides = "-" if row_major(t) else listed([str(s) for s in t.stride()])
    return "%s:%s:%s:%s" % (str(t.dtype)[6:], listed([str(s) for s in t.shape]), strides, listed(values))


def copy(t):
    """With t's strides, in memory of its own."""
    if not isinstance(t, torch.Tensor):
        return t
    if t._base is None and row_major(t):
        return t.clone()
    room = 1 + sum((s - 1) * st for s, st in zip(t.shape, t.stride())) if t.numel() else 0
    c = torch.zeros(room, dtype=t.dtype).as_strided(t.shape, t.stride())
    return c.copy_(t) if 0 not in t.stride() else t.clone()


def one_by_one(f):
    """f of a one-dimensional tensor, an element at a time: at NaN and infinity PyTorch's vector loops differ from its scalar ones."""
    def g(x, *rest, **options):
        if isinstance(x, torch.Tensor) and x.dim() == 1 and x.dtype.is_floating_point and not any(isinstance(r, torch.Tensor) for r in rest):
            return torch.cat([f(x[i : i + 1].clone(), *rest, **options) for i in range(len(x))])
        return f(x, *rest, **options)
    return g


def record(op, *args, gradient=True, **options):
    if not any(a.dtype.is_floating_point for a in args if isinstance(a, torch.Tensor)):
        # a C program cannot say 2.0 where it means a fraction: whole options are integers
        options = {k: int(v) if v == v and v == int(v) else v for k, v in options.items()}
    words = [op] + [text(a) for a in args] + ["%s=%s" % (k, number(float(v))) for k, v in options.items()]
    call = [copy(a) for a in args]
    grads = gradient and not op.endswith("_")
    for a in call:
        if grads and isinstance(a, torch.Tensor) and a.dtype.is_floating_point:
            a.requires_grad_()
    try:
        y = one_by_one(function(op))(*call, **options)
    except (RuntimeError, ValueError) as e:
        print(*words, "!!", str(e).split("\n")[0])
        return
    words += ["->", text(y)]
    if y.requires_grad and y.numel() and grads:
        (y * 1.5).sum().backward()
        words += ["grad"] + [text(a.grad) if isinstance(a, torch.Tensor) and a.grad is not None else "-" for a in call]
    print(*words)


def tensor(dtype, k=0, n=None):
    values = SAMPLES[dtype]
    values = values[k % len(values):] + values[: k % len(values)]
    return torch.tensor(values[:n] if n else values, dtype=dtype)


def pair(a, b):
    """Two tensors in which many values meet many."""
    n = 12
    x, y = [SAMPLES[a][i % len(SAMPLES[a])] for i in range(n)], [SAMPLES[b][(5 * i + 2) % len(SAMPLES[b])] for i in range(n)]
    return torch.tensor(x, dtype=a), torch.tensor(y, dtype=b)


def main():
    for op in UNARY:
        for dtype in TYPES if op != "softsign" else FLOATS:  # of integers it wraps round
            record(op, tensor(dtype), gradient=dtype == torch.float64 and op not in ODD_GRADIENT)
            if op not in NO_INPLACE:
                record(op + "_", tensor(dtype, 1, 4))
    for op, choices in WITH.items():
        for options in choices:
            for dtype in TYPES:
                record(op, tensor(dtype), gradient=dtype == torch.float64 and op not in ODD_GRADIENT, **options)
                if op not in NO_INPLACE:
                    record(op + "_", tensor(dtype, n=4), **options)
    for op in BINARY:
        every = op in ("mul", "add", "div", "lt")
        for a in TYPES:
            for b in TYPES if every else [a, torch.float32, torch.uint8]:
                x, y = pair(a, b)
                record(op, x, y, gradient=a == b)
                if every:
                    record(op, x[:2], y[3], gradient=False)
                    record(op, x[1], y[:2], gradient=False)
                if op not in NO_INPLACE and not (op == "hypot" and not a.is_floating_point):
                    record(op + "_", x[:3], y[:3])
            if op in TENSORS_ONLY:
                continue
            for scalar in (2, -1, 0, 1.5, 0.5, True):
                record(op, tensor(a, n=None if op == "pow" else 4), scalar, gradient=op == "pow")
                if op not in NO_INPLACE:
                    record(op + "_", tensor(a, n=3), scalar)
    for op in ("add", "sub", "rsub"):
        for alpha in (2.0, -1.0, 0.5, 300.0):
            for a in TYPES:
                integral = not a.is_floating_point
                options = dict(alpha=int(alpha) if integral and alpha == int(alpha) else alpha)
                record(op, *pair(a, a), gradient=False, **options)
    for a in TYPES:
        x, y = pair(a, a)
        _, z = pair(a, a)
        for op in ("addcmul", "addcdiv"):
            for value in (1, 2):
                record(op, x, y, z.flip(0), value=value)
            record(op + "_", x, y, z.flip(0), value=2)
        for other in TYPES:
            record("lerp", x, y, torch.ones(12, dtype=other) / 4 if other.is_floating_point else torch.ones(12, dtype=other))
        record("lerp", x, y, 0.75, gradient=False)
        for condition in TYPES:
            record("where", torch.tensor([1, 0, 1] * 4).to(condition), x, y)
        for other in TYPES:
            record("where", torch.tensor([True, False] * 6), *pair(a, other), gradient=False)
    # shapes and strides
    x = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    base = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    shapes = [(x, x.permute(2, 0, 1).permute(1, 2, 0)), (x.permute(2, 1, 0), torch.ones(4, 1, 2, dtype=torch.float64)), (x.permute(1, 0, 2), x.permute(1, 0, 2)),
              (x[:, ::2], x[:, 1:]), (x[..., 1:2], x), (x, torch.tensor(2.0, dtype=torch.float64)), (base.t(), torch.ones(2, dtype=torch.float64)),
              (base, base.t().contiguous().t()), (torch.ones(0, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)),
              (torch.ones(1, dtype=torch.float64), torch.ones(0, dtype=torch.float64)), (torch.tensor(3.0), torch.tensor(4.0)),
              (torch.ones(3, 1, dtype=torch.float64).expand(3, 4), torch.ones(4, dtype=torch.float64)), (torch.ones(2, 3), torch.ones(2, 4)),
              (torch.ones(3), torch.ones(3, 2)), (torch.ones(2), torch.ones(3, 2)), (torch.ones(1, 2), torch.ones(3, 2)), (torch.ones(3, 2), torch.ones(2))]
    for a, b in shapes:
        for op in ("mul", "add_", "maximum", "lt", "sub"):
            record(op, a, b)


main()
