#!/usr/bin/env python3
"""Records what PyTorch does for the ops that make, view, move, join and reduce: tests/data/op_cases.txt, which tests/op_cases.c replays
by name. Run it with an installed PyTorch: tools/record-ops.py > tests/data/op_cases.txt

The file holds a sample of the cases, the same in every run. All of them: tools/record-ops.py --all > FILE, and AG_OP_CASES=FILE in the
environment of the tests.

One case a line, words apart by blanks:

    group op n_arguments argument... outcome

    argument   [name=]kind ...: T tensor, L n tensor..., I int, F float, B bool, N n ints, D dtype, Z (None)
    tensor     dtype ndim sizes... strides... offset requires_grad n_elements_of_storage elements...
    outcome    E the error's sentence, to the end of the line
               R n_results result... gradients
    result     dtype ndim sizes... (= strides... | ~) grad_fn requires_grad elements...      (grad_fn - for none)
    gradients  0
               1 cotangent... , for each input that requires a gradient: elements...
               2 the same, then the gradients of sum over inputs k and elements i of (i + 1) grad_k[i]^2: for each input, for the cotangent

Numbers are multiples of 1/8 where that is possible, so that they are short and most results exact.
"""
import sys
import warnings
import zlib

import torch

warnings.simplefilter("ignore")
torch.manual_seed(2)
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64", torch.int32: "i32", torch.uint8: "u8", torch.bool: "bool"}
FLOATS = [torch.float32, torch.float64]
TYPES = list(NAMES)
f64 = torch.float64
aten = torch.ops.aten
seen = set()
KEEP = {"reduce": 10, "copy": 5, "join": 4, "index": 4, "view": 3, "part": 3, "factory": 2}  # one case of so many
EVERYTHING = "--all" in sys.argv[1:]


def number(v):
    if isinstance(v, bool):
        return str(int(v))
    if isinstance(v, int):
        return str(v)
    return repr(int(v)) if v == v and abs(v) < 1e15 and v == int(v) and not (v == 0 and str(v)[0] == "-") else repr(v)


def elements(t):
    return [number(v) for v in t.detach().contiguous().reshape(-1).tolist()]


def tensor(t):
    storage = torch.empty(0, dtype=t.dtype).set_(t.untyped_storage())
    return ([NAMES[t.dtype], t.dim()] + list(t.shape) + list(t.stride()) + [t.storage_offset(), int(t.requires_grad), storage.numel()]
            + elements(storage))


def argument(a):
    if isinstance(a, torch.Tensor):
        return ["T"] + tensor(a)
    if isinstance(a, (list, tuple)) and a and isinstance(a[0], torch.Tensor):
        return ["L", len(a)] + [w for t in a for w in tensor(t)]
    if a is None:
        return ["Z"]
    if isinstance(a, bool):
        return ["B", int(a)]
    if isinstance(a, int):
        return ["I", a]
    if isinstance(a, float):
        return ["F", number(a) if a != int(a) else a] if a == a and abs(a) != float("inf") else ["F", a]
    if isinstance(a, torch.dtype):
        return ["D", NAMES[a]]
    return ["N", len(a)] + list(a)


def inputs_of(args):
    for a in args:
        for t in a if isinstance(a, (list, tuple)) else [a]:
            if isinstance(t, torch.Tensor) and t.requires_grad:
                yield t


def same_or_zero(t, like):
    return torch.zeros_like(like) if t is None else t


def gradients(result, inputs, order):
    if not inputs or not result.requires_grad or order == 0:
        return [0]
    g = (torch.randint(-8, 9, result.shape).to(result.dtype) / 4).requires_grad_()
    first = torch.autograd.grad([result], inputs, [g], create_graph=order > 1, allow_unused=True)
    words = [order] + elements(g)
    for t, x in zip(first, inputs):
        words += elements(same_or_zero(t, x))
    if order > 1:
        terms = [t for t in first if t is not None and t.requires_grad]
        if not terms:
            return [1] + words[1:]
        total = sum((t * t * torch.arange(1, t.numel() + 1, dtype=t.dtype).reshape(t.shape)).sum() for t in terms)
        second = torch.autograd.grad([total], inputs + [g], allow_unused=True)
        for t, x in zip(second, inputs + [g]):
            words += elements(same_or_zero(t, x))
    return words


def case(group, op, f, *args, order=2, strides=True, **named):
    words = [group, op, len(args) + len(named)]
    for a in args:
        words += argument(a)
    for k, a in named.items():
        word = argument(a)
        words += [k + "=" + word[0]] + word[1:]
    try:
        results = f(*args, **named)
    except Exception as e:
        text = str(e).split("\nException")[0].split(": ", 1)[-1] if "(): " in str(e) else str(e).split("\nException")[0]
        words += ["E", text.replace("\n", " ")]
        line = " ".join(map(str, words))
    else:
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        words += ["R", len(results)]
        for r in results:
            node = r.grad_fn.name().split("::")[-1] if r.grad_fn is not None else "-"
            words += [NAMES[r.dtype], r.dim()] + list(r.shape) + (["="] + list(r.stride()) if strides else ["~"])
            words += [node, int(r.requires_grad)] + elements(r)
        words += gradients(results[0], list(inputs_of(args)), order)
        line = " ".join(map(str, words))
    first = op not in seen  # every op has a case
    sample = first or zlib.crc32(line.encode()) % KEEP[group] == 0
    if line not in seen and (EVERYTHING or sample):
        print(line)
    seen.update((line, op))


def values(shape, dtype=f64):
    if dtype.is_floating_point:
        return (torch.randint(-16, 17, shape) / 8).to(dtype)
    if dtype == torch.bool:
        return torch.rand(shape) > 0.4
    return torch.randint(0 if dtype == torch.uint8 else -5, 6, shape, dtype=dtype)


def grad(t):
    return t.detach().requires_grad_(t.dtype.is_floating_point)


def layouts(shape, dtype=f64):
    n = len(shape)
    yield grad(values(shape, dtype))
    if n > 1:
        yield grad(values(tuple(reversed(shape)), dtype).permute(*reversed(range(n))))
        yield grad(values(tuple(2 * s for s in shape), dtype)[tuple(slice(1, None, 2) for _ in shape)])
        yield grad(values(shape, dtype).permute(*range(1, n), 0).contiguous().permute(n - 1, *range(n - 1)))
    if n and shape[0] > 1:
        yield grad(values((1,) + tuple(shape[1:]), dtype).expand(shape))


def views():
    for shape in [(2, 3), (1, 3, 1), (2, 0), ()]:
        for k, x in enumerate(layouts(shape)):
            n = len(shape)
            for d in range(-n - 1, n + 1) if k == 0 else range(n):
                case("view", "unsqueeze", lambda x, d: x.unsqueeze(d), x, d)
                case("view", "squeeze", lambda x, d: x.squeeze(d), x, d)
                case("view", "transpose", lambda x, p, q: x.transpose(p, q), x, d, 0)
                case("view", "flatten", lambda x, a, b: x.flatten(a, b), x, d, -1)
                if n:
                    case("view", "movedim", lambda x, p, q: x.movedim(p, q), x, d, 0)
                for index in (0, -1, 5) if k == 0 else (1,):
                    case("part", "select", lambda x, d, i: x.select(d, i), x, d, index)
                for start, length in [(0, 1), (1, 1), (-1, 1), (1, 4), (0, -1), (9, 0)] if k == 0 and d in (0, n - 1) else [(1, 1)]:
                    case("part", "narrow", lambda x, *a: x.narrow(*a), x, d, start, length)
            for d in range(n):
                for a in [(0, 1, 1), (1, 9, 1), (-2, -1, 1), (0, 9, 2), (5, 2, 1), (0, 9, 0)] if k == 0 else [(0, 9, 2)]:
                    case("part", "slice", lambda x, *a: aten.slice(x, *a), x, d, *a)
                for offset in (0, 1, -1, 7) if k == 0 else (1,):
                    case("part", "diagonal", lambda x, *a: x.diagonal(*a), x, offset, d, n - 1)
                case("view", "unflatten", lambda x, d, s: x.unflatten(d, s), x, d, [1, -1])
                case("view", "unflatten", lambda x, d, s: x.unflatten(d, s), x, d, [3, 1])
            case("view", "squeeze", lambda x: x.squeeze(), x)
            if n > 1:
                case("view", "squeeze", lambda x, dim: x.squeeze(dim), x, dim=[0, -1])
            case("view", "t", lambda x: x.t(), x)
            for p in [(1, 0), (0, 2, 1), (2, 0, 1), (0, 0, 1), (3, 0, 1), ()]:
                if len(p) == n or n == 2:
                    case("view", "permute", lambda x, p: x.permute(p), x, list(p)) if len(p) == n else None
            for v in [(-1,), (3, 2), (2, -1), (6, 1), (-1, -1), (0, -1), (3, -2), (5,), (1, 1)]:
                case("view", "view", lambda x, v: x.view(v), x, list(v))
                case("view", "reshape", lambda x, v: x.reshape(v), x, list(v))
            for e in [(2, 3), (2, 3, 4), (5, 2, 3), (-1, 3, -1), (2, -1, -1), (4, 3), (2, 2, 3)]:
                if n <= len(e) and (n or -1 not in e):
                    case("view", "expand", lambda x, e: x.expand(e), x, list(e))
            case("copy", "contiguous", lambda x: x.contiguous(), x)
            case("copy", "clone", lambda x: x.clone(), x)
    x, other = grad(values((2, 3))), values((3, 2))
    for op in ("view_as", "reshape_as", "expand_as"):
        case("view", op, lambda x, y, op=op: getattr(x, op)(y), x, other)
    case("view", "expand_as", lambda x, y: x.expand_as(y), x, values((2, 2, 3)))
    for x in layouts((3, 4)):
        for a in [([2, 2], [1, 2]), ([2, 2], [4, 1], 1), ([3, 3], [1, 1], 0), ([4], [0], 1), ([], [], 3), ([0, 2], [1, 1], 0), ([2, 3], [0, 1], 0),
                  ([50], [9], 0), ([2, 2], [-1, 1], 0), ([2], [1, 1], 0)]:
            case("part", "as_strided", lambda x, *a: x.as_strided(*a), x, *a)
    batch_last = grad(values((2, 3, 1, 2)).permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2))
    case("view", "view", lambda x, v: x.view(v), batch_last, [2, -1])
    case("view", "flatten", lambda x, d: x.flatten(d), batch_last, 1)


def copies():
    for dtype in TYPES:
        for x in layouts((2, 3), dtype):
            for to in TYPES:
                if not (dtype.is_floating_point and to == torch.uint8):
                    case("copy", "to", lambda x, dtype: x.to(dtype), x, dtype=to)
            case("copy", "float", lambda x: x.float(), x)
            case("copy", "double", lambda x: x.double(), x)
            case("copy", "long", lambda x: x.long(), x)
            case("copy", "int", lambda x: x.int(), x)
            for shape in [(), (2, 3), (3,), (2, 1), (2, 2, 3), (4,)]:
                case("copy", "masked_fill", lambda x, m, v: x.masked_fill(m, v), x, values(shape, torch.bool), 2.5)
        x = values((2,), dtype)
        for v in (2.5, 300.0, float("nan"), 1e39):
            case("factory", "full_like", torch.full_like, x, v)
        for op in ("zeros_like", "ones_like"):
            case("factory", op, lambda x, op=op: getattr(torch, op)(x), next(layouts((2, 3), dtype)))
        for op in ("zeros", "ones"):
            for shape in ([], [3], [2, 0]):
                for rg in (False, True):
                    case("factory", op, lambda s, op=op, **k: getattr(torch, op)(s, **k), shape, dtype=dtype, requires_grad=rg)
        for v in (1.5, -3.5, float("inf"), 1e39):
            case("factory", "full", lambda s, v, dtype: torch.full(s, v, dtype=dtype), [2], v, dtype=dtype)
        for a in [(5,), (1, 5), (5, 1, -1), (0, 1, 0.25), (1, 5, -1), (1, 5, 0), (0.5, 3.25, 0.75), (0, float("inf")), (3, 3), (10, 1, -4), (-0.5, 2)]:
            case("factory", "arange", lambda *a, dtype: torch.arange(*a, dtype=dtype), *a, dtype=dtype)
        for a in [(3,), (2, 3), (3, 2), (0,), (-2,), (2, -3)]:
            case("factory", "eye", lambda *a, dtype: torch.eye(*a, dtype=dtype), *a, dtype=dtype)
        for a in [(0, 1, 5), (0, 10, 5), (1, -1, 1), (3, 3, 0), (0, 1, -1), (5, -5, 11)]:
            if dtype not in (torch.uint8, torch.bool):
                case("factory", "linspace", lambda *a, dtype: torch.linspace(*a, dtype=dtype), *a, dtype=dtype)
    for a in [(5,), (1, 5), (0, 1, 0.25), (2**40, 2**40 + 3), (0.5, 2.5)]:
        case("factory", "arange", torch.arange, *a)
    case("copy", "masked_fill", lambda x, m, v: x.masked_fill(m, v), values((2,)), values((2,), torch.int64), 1.0)


def reductions():
    for dtype in TYPES:
        for shape in [(), (3,), (2, 3), (2, 1, 3), (2, 0)]:
            for k, x in enumerate(layouts(shape, dtype)):
                if k and dtype not in (f64, torch.int32):
                    break
                n, order = len(shape), 2 if dtype == f64 else 1
                for op in ("sum", "mean", "prod", "amax", "amin", "any", "all", "argmax", "argmin", "max", "min"):
                    f = getattr(torch, op)
                    case("reduce", op, lambda x, f=f: f(x), x, order=order)
                    by_dim = op + "_dim" if op in ("max", "min") else op
                    for d in range(-n - 1, n + 1) if dtype == f64 or k == 0 else (0,):
                        case("reduce", by_dim, lambda x, d, keep, f=f: f(x, d, keepdim=keep), x, d, d % 2 == 0, order=order)
                    if op in ("sum", "mean", "amax", "amin", "any"):
                        for dims in ([0, 1], [-1, 0], [0, 0]):
                            case("reduce", op, lambda x, d, keep, f=f: f(x, d, keepdim=keep), x, dims, n == 2, order=order)
                    if op in ("sum", "mean", "prod") and k == 0:
                        for to in TYPES:
                            case("reduce", op, lambda x, dtype, f=f: f(x, dtype=dtype), x, dtype=to, order=1)
                if n:
                    case("reduce", "logsumexp", torch.logsumexp, x, 0, True, order=order)
                for size in ([], [3], [2, 1], [1, 3], [1, 1, 3], [4], [2, 3]):
                    if n:
                        case("reduce", "sum_to_size", lambda x, s: x.sum_to_size(s), x, size, order=order, strides=False)
    nan, inf = float("nan"), float("inf")
    for row in [[1, nan, 3], [nan, nan, 1], [3, 3, 1], [inf, -inf, 0], [-inf, -inf, -inf], [0.0, -0.0, 0.0]]:
        x = grad(torch.tensor(row, dtype=f64))
        for op in ("max", "min", "sum", "argmax", "argmin", "any", "all"):
            case("reduce", op, lambda x, op=op: getattr(torch, op)(x), x, order=1)
        for op in ("max", "min"):
            case("reduce", op + "_dim", lambda x, d, op=op: getattr(torch, op)(x, d), x, 0, order=1)
        case("reduce", "logsumexp", torch.logsumexp, x, 0, order=1)
        case("reduce", "amax", torch.amax, x, 0, order=1)
    x = grad(torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], dtype=f64))
    case("reduce", "prod", torch.prod, x)
    case("reduce", "prod", torch.prod, x, 1)
    case("reduce", "prod", torch.prod, x, 0)


def joins():
    for dtype in (torch.float32, f64, torch.int64, torch.bool):
        for x in layouts((2, 3), dtype):
            y, order = grad(values((2, 3), f64)), 2 if dtype == f64 else 1
            for d in (-3, -2, -1, 0, 1, 2):
                case("join", "cat", lambda l, d: torch.cat(l, d), [x, y], d, order=order)
                case("join", "stack", lambda l, d: torch.stack(l, d), [x, grad(values((2, 3), dtype)), y], d, order=order)
            case("join", "cat", lambda l, d: torch.cat(l, d), [values((0,)), x, grad(values((4, 3)))], 0, order=order)
            for d in (0, 1, -1):
                index = torch.tensor([0, 1, 0])
                case("index", "index_select", lambda x, d, i: x.index_select(d, i), x, d, index, order=order)
                index = torch.randint(0, 2, (2, 3))
                case("index", "gather", lambda x, d, i: x.gather(d, i), x, d, index, order=order, strides=False)
                case("index", "gather", lambda x, d, i: x.gather(d, i), x, d, torch.ones(1, 2, dtype=torch.int32), order=order, strides=False)
    x = values((3,))
    for l, d in [([x, values((2, 3))], 0), ([values((2, 3)), values((3, 2))], 0), ([values(()), x], 0), ([values((0,)), values((0,))], 1)]:
        case("join", "cat", lambda l, d: torch.cat(l, d), l, d)
    case("join", "stack", lambda l, d: torch.stack(l, d), [x, values((2, 3))], 0)
    case("join", "stack", lambda l, d: torch.stack(l, d), [grad(values(())), values((), torch.int64)], 0)
    for index in (torch.zeros(3), torch.zeros(3, 1, dtype=torch.int64), torch.tensor([3]), torch.tensor([-1])):
        case("index", "gather", lambda x, d, i: x.gather(d, i), x, 0, index)
    case("index", "gather", lambda x, d, i: x.gather(d, i), values((2, 3)), 0, torch.zeros(2, 4, dtype=torch.int64))
    case("index", "index_select", lambda x, d, i: x.index_select(d, i), x, 0, torch.zeros(3))
    case("index", "index_select", lambda x, d, i: x.index_select(d, i), x, 0, torch.zeros(3, 1, dtype=torch.int64))


if __name__ == "__main__":
    print("# made by tools/record-ops.py with PyTorch", torch.__version__)
    views()
    copies()
    reductions()
    joins()
