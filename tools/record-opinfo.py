#!/usr/bin/env python3
"""Records what PyTorch answers to its own sample calls of an op (its OpInfos), for build/tools/ag-conformance.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0 numpy safetensors expecttest
    /tmp/venv/bin/python tools/record-opinfo.py OUT --ops add,nn.functional.conv2d
    /tmp/venv/bin/python tools/record-opinfo.py tests/data/conformance/opinfo --compact     what tools/test runs

Each op (each variant of it: div+floor_rounding) becomes OUT/<op>.json, a list of cases, and OUT/<op>.safetensors, their tensors.
docs/conformance.md says what a case holds. PyTorch runs in one thread, each op in a process of its own, so that a crash costs that op.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import warnings
import zlib

import numpy
import torch
import torch.testing._internal.common_methods_invocations as invocations
from safetensors.numpy import save_file
from torch.testing._internal.opinfo import core

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIRED = os.path.join(HERE, "..", "tests", "conformance", "required.txt")
TYPES = {"f64": torch.float64, "f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
UNINITIALISED = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
SECONDS = 20  # for a case
SEED = 7  # before every call; ag-conformance has the same

# An OpInfo hides randomness behind a fixed seed. Without it random results show themselves, by differing.
invocations.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)


class Passed(Exception):
    """A sample that makes no case, and why."""


# ---- values as trees ----


def tensors_in(value):
    """The tensors of an argument or a result, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return [tensor for part in parts for tensor in tensors_in(part)]


def replaced(value, change):
    """The same argument with `change` applied to its tensors and dtypes."""
    if isinstance(value, (torch.Tensor, torch.dtype)):
        return change(value)
    if isinstance(value, dict):
        return {name: replaced(part, change) for name, part in value.items()}
    if isinstance(value, torch.Size) or not isinstance(value, (list, tuple)):
        return value
    return type(value)(replaced(part, change) for part in value)


def array_of(tensor):
    if tensor.layout != torch.strided or tensor.dtype.is_complex or tensor.dtype == torch.bfloat16:
        raise Passed("a tensor that cannot be stored")
    tensor = tensor.detach()
    if tensor._is_zerotensor():
        tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return numpy.array(tensor.numpy(), order="C", copy=True)


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def plain_tree(value):
    """What is no tensor and no list."""
    if value is None:
        return {"t": "none"}
    if isinstance(value, (bool, int, str)):
        return {"t": type(value).__name__, "v": value}
    if isinstance(value, float):
        return {"t": "float", "v": value if numpy.isfinite(value) else repr(value), "hex": value.hex()}
    if isinstance(value, torch.dtype):
        return {"t": "dtype", "v": name_of(value)}
    if isinstance(value, (torch.memory_format, torch.device)):
        return {"t": "other", "v": str(value)}
    raise Passed("an argument that has no plain form")


class Case:
    """One call: what is known of it (`meta`), and its tensors by name."""

    def __init__(self, op, name, dtype):
        self.meta = {"op": op.name, "variant": op.variant_test_name or None, "case": name, "dtype": dtype}
        self.arrays = {}
        self.names = {}  # of inputs, by identity

    def store(self, name, tensor):
        self.arrays[name] = array_of(tensor)
        return name

    def tree(self, value, kind):
        """kind: in, out. An input that stands among the arguments twice is one tensor."""
        if isinstance(value, torch.Tensor):
            return self.tensor_tree(value, kind)
        if isinstance(value, torch.Size):
            value = list(value)
        if isinstance(value, (list, tuple)):
            return {"t": "tuple" if isinstance(value, tuple) else "list", "v": [self.tree(part, kind) for part in value]}
        return plain_tree(value)

    def tensor_tree(self, tensor, kind):
        name = self.names.get(id(tensor)) if kind == "in" else None
        if name is None:
            name = self.store("%s_%d" % (kind, sum(stored.startswith(kind + "_") for stored in self.arrays)), tensor)
        node = {"t": "tensor", "id": name, "dtype": name_of(tensor.dtype), "shape": list(tensor.shape)}
        if kind == "in":
            self.names[id(tensor)] = name
            node["requires_grad"] = tensor.requires_grad
            if not tensor.is_contiguous() or tensor.storage_offset():
                node["strides"], node["offset"] = list(tensor.stride()), tensor.storage_offset()
        return node


# ---- a call and its derivatives ----


def cotangent(tensor, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.dtype)


def seed_all(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)


def same(first, second):
    first, second = tensors_in(first), tensors_in(second)
    return len(first) == len(second) and all(
        a.shape == b.shape and a.dtype == b.dtype and numpy.array_equal(array_of(a), array_of(b), equal_nan=a.dtype.is_floating_point)
        for a, b in zip(first, second)
    )


class Call:
    """An op with a sample's arguments. Its results have gone through OpInfo's own post-processing."""

    def __init__(self, op, sample):
        self.op = op
        self.arguments = (sample.input,) + tuple(sample.args)
        self.named = dict(sample.kwargs)
        self.process = sample.output_process_fn_grad
        inputs = {id(t): t for t in tensors_in(self.arguments) + tensors_in(self.named)}
        self.inputs = list(inputs.values())
        self.leaves = [t for t in self.inputs if t.requires_grad and t.is_leaf]

    def run(self, seed=SEED):
        seed_all(seed)
        return self.op.op(*self.arguments, **self.named)

    def in_float64(self):
        """The same with float64 for float32, and its inputs by the identity of these."""
        wide = {}

        def widen(value):
            if isinstance(value, torch.dtype):
                return torch.float64 if value == torch.float32 else value
            if id(value) not in wide:
                tensor = value.detach().to(torch.float64) if value.dtype == torch.float32 else value.detach()
                wide[id(value)] = tensor.requires_grad_(value.requires_grad) if tensor.is_floating_point() else tensor
            return wide[id(value)]

        other = Call.__new__(Call)
        other.op, other.process = self.op, self.process
        other.arguments, other.named = replaced(self.arguments, widen), replaced(self.named, widen)
        other.leaves = [wide[id(leaf)] for leaf in self.leaves]
        return other


def check_usable(call, case, raw, limit):
    """Raises Passed for what cannot be recorded: arguments that change, results that are random or too large."""
    for tensor in call.inputs:
        if array_of(tensor).tobytes() != case.arrays[case.names[id(tensor)]].tobytes():
            raise Passed("the op changes its input")
    if call.op.name in UNINITIALISED or not same(raw, call.run(SEED + 1)):
        raise Passed("a random or uninitialised result")
    if sum(t.numel() for t in tensors_in(raw)) > limit:
        raise Passed("a large result")


def record_sharing(case, call, raw, outputs):
    """Which results are views of an input, and whether an input itself comes back."""
    if any(result is tensor for result in tensors_in(raw) for tensor in call.inputs):
        case.meta["returns_input"] = True
    addresses = {t.untyped_storage().data_ptr() for t in call.inputs if t.numel()}
    views = [name for name, out in outputs if out.numel() and out.untyped_storage().data_ptr() in addresses]
    if views:
        case.meta["view_of_input"] = views


def weighted_sum(outputs, cotangents):
    return sum((out * cotangents[name]).sum() for name, out in outputs if name in cotangents)


def record_gradients(case, call, outputs):
    """First order, and of float64 second order: names go by the leaf's number."""
    names = [case.names[id(leaf)] for leaf in call.leaves]
    wanting = [(name, out) for name, out in outputs if out.requires_grad]
    if not call.op.supports_autograd or not names or not wanting:
        return
    cotangents = {name: cotangent(out, 1000 + i) for i, (name, out) in enumerate(wanting)}
    case.meta["cot"] = {name: case.store("cot_%d" % i, cotangents[name]) for i, (name, _) in enumerate(wanting)}
    total = weighted_sum(outputs, cotangents)
    second = case.meta["dtype"] == "f64" and call.op.supports_gradgrad
    # without a graph first: some formulas round otherwise when one is asked for
    gradients = torch.autograd.grad(total, call.leaves, allow_unused=True, retain_graph=second)
    case.meta["grad"] = {n: None if g is None else case.store("g_%d" % i, g) for i, (n, g) in enumerate(zip(names, gradients))}
    if second:
        record_second_order(case, call, names, total)


def record_second_order(case, call, names, total):
    try:
        gradients = torch.autograd.grad(total, call.leaves, allow_unused=True, create_graph=True)
        again = [(i, g) for i, g in enumerate(gradients) if g is not None and g.requires_grad]
        if not again:
            return
        cotangents = {i: cotangent(g, 2000 + i) for i, g in again}
        total = sum((g * cotangents[i]).sum() for i, g in again)
        results = torch.autograd.grad(total, call.leaves, allow_unused=True)
    except RuntimeError as error:
        case.meta["gg_error"] = str(error)[:200]
        return
    case.meta["cot2"] = {names[i]: case.store("cot2_%d" % i, cotangents[i]) for i, _ in again}
    case.meta["ggrad"] = {n: None if g is None else case.store("gg_%d" % i, g) for i, (n, g) in enumerate(zip(names, results))}


def record_reference(case, call, outputs):
    """The same in float64 from the same float32 numbers: the truth that errors are measured by."""
    wide = call.in_float64()
    results = tensors_in(wide.process(wide.run()))
    if len(results) != len(outputs):
        return
    case.meta["ref"] = {
        name: case.store("ref_%d" % i, wide_out)
        for i, ((name, out), wide_out) in enumerate(zip(outputs, results))
        if out.dtype == torch.float32 and wide_out.dtype == torch.float64 and out.shape == wide_out.shape
    }
    if not case.meta.get("grad"):
        return
    cotangents = {name: torch.from_numpy(case.arrays[stored]).double() for name, stored in case.meta["cot"].items()}
    total = weighted_sum([(name, out) for (name, _), out in zip(outputs, results)], cotangents)
    gradients = torch.autograd.grad(total, wide.leaves, allow_unused=True)
    case.meta["gref"] = {
        n: case.store("gref_%d" % i, g)
        for i, (n, g) in enumerate(zip((case.names[id(leaf)] for leaf in call.leaves), gradients))
        if g is not None and case.meta["grad"].get(n)
    }


def record(op, sample, name, dtype, limit):
    """The case of one sample."""
    call, case = Call(op, sample), Case(op, name, dtype)
    if any(t.requires_grad and not t.is_leaf for t in call.inputs):
        raise Passed("an input with a history")
    if any(t.untyped_storage().nbytes() > t.element_size() * (reach(t) + 1) for t in call.inputs):
        raise Passed("memory beyond what an input shows")
    case.meta["call"] = [case.tree(value, "in") for value in call.arguments]
    case.meta["kwargs"] = {key: case.tree(value, "in") for key, value in call.named.items()}
    raw = call.run()
    check_usable(call, case, raw, limit)
    out = call.process(raw)
    case.meta["processed"] = [id(t) for t in tensors_in(out)] != [id(t) for t in tensors_in(raw)]
    case.meta["out"] = case.tree(out, "out")
    outputs = list(zip((n for n in case.arrays if n.startswith("out_")), tensors_in(out)))
    wrapper = getattr(op.gradcheck_wrapper, "__name__", "<lambda>")
    if wrapper != "<lambda>":
        case.meta["gradcheck_wrapper"] = wrapper
    record_sharing(case, call, raw, outputs)
    record_gradients(case, call, outputs)
    if dtype == "f32":
        record_reference(case, call, outputs)
    case.meta["inplace"] = getattr(op.inplace_variant, "__name__", None)
    return case


def reach(tensor):
    """The place in its storage of the last element it shows."""
    return tensor.storage_offset() + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()) if size)


# ---- samples ----

SPECIAL = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1e-8, 1e-3, 0.999999, 10.0, 20.5, 88.5, 100.0, 709.5, 745.5, 1e6, 1e15]
SPECIAL = [sign * value for value in SPECIAL + [numpy.pi, numpy.pi / 2, numpy.inf] for sign in (1.0, -1.0)] + [numpy.nan]


def special_grid(op, dtype):
    """Special numbers, and each with each for an op of two."""
    limits = torch.finfo(dtype)
    edges = [limits.max, limits.tiny, limits.eps, 1 + limits.eps, limits.tiny / 256]
    values = torch.tensor(SPECIAL + edges + [-edge for edge in edges], dtype=dtype)
    if isinstance(op, core.UnaryUfuncInfo):
        return core.SampleInput(values, kwargs=op.sample_kwargs("cpu", dtype, values)[0])
    n = len(values)
    one, other = values[:, None].expand(n, n).contiguous(), values[None, :].expand(n, n).contiguous()
    return core.SampleInput(one, args=(other,), kwargs=options_of_variant(op, dtype))


def options_of_variant(op, dtype):
    """A variant by its options (rounding_mode="floor") has them in all samples."""
    first = next(iter(op.sample_inputs("cpu", dtype)), None)
    return {name: value for name, value in first.kwargs.items() if isinstance(value, str)} if first else {}


def extremal_samples(op, dtype):
    kind = "unary" if isinstance(op, core.UnaryUfuncInfo) else "binary" if isinstance(op, core.BinaryUfuncInfo) else None
    if kind is None or "polynomial" in op.name:  # a polynomial of degree 1e308 takes as many steps
        return []
    samples = [special_grid(op, dtype)]
    for what in ("extremal", "large", "small"):
        samples += getattr(core, "generate_elementwise_%s_%s_value_tensors" % (kind, what))(op, device="cpu", dtype=dtype)
    for sample in samples:
        for tensor in tensors_in((sample.input, tuple(sample.args))):
            tensor.requires_grad_(op.supports_autograd and tensor.is_floating_point())
    return samples


def size_of(sample):
    return sum(t.numel() for t in tensors_in((sample.input, tuple(sample.args), dict(sample.kwargs))))


def chosen(samples, count, limit):
    """(number, sample) of up to `count` of them, evenly spread over those of up to `limit` elements; else the smallest."""
    numbered = list(enumerate(samples))
    fitting = [pair for pair in numbered if size_of(pair[1]) <= limit]
    fitting = fitting or sorted(numbered, key=lambda pair: size_of(pair[1]))[:1]
    if count and len(fitting) > count:
        fitting = [fitting[int(place)] for place in numpy.linspace(0, len(fitting) - 1, count)]
    return fitting


def samples_of(op, dtype, options):
    """(name, sample) of all that are to become cases of this type."""
    torch_type, grad = TYPES[dtype], op.supports_autograd and dtype[0] == "f"
    seed_all(zlib.crc32((full_name(op) + str(options.seed)).encode()))
    samples = list(op.sample_inputs("cpu", torch_type, requires_grad=grad))
    for number, sample in chosen(samples, options.samples, options.max_elements):
        yield "%s_%03d" % (dtype, number), sample
    if options.extremal and dtype[0] == "f":
        for number, sample in enumerate(extremal_samples(op, torch_type)):
            if size_of(sample) <= options.max_elements:
                yield "ext_%s_%03d" % (dtype, number), sample


def types_of(op):
    floats = [dtype for dtype in ("f64", "f32") if op.supports_dtype(TYPES[dtype], "cpu")]
    return floats or [dtype for dtype in ("i64", "bool") if op.supports_dtype(TYPES[dtype], "cpu")][:1]


# ---- files ----


def full_name(op):
    return op.name + ("+" + op.variant_test_name if op.variant_test_name else "")


def out_of_time(*_):
    raise Passed("it takes too long")


def record_op(op, options):
    """All cases of an op, written; how many there are, and how many samples made none, by reason."""
    metas, arrays, passed = [], {}, {}
    signal.signal(signal.SIGALRM, out_of_time)
    for dtype in types_of(op):
        for name, sample in samples_of(op, dtype, options):
            try:
                signal.alarm(SECONDS)
                case = record(op, sample, name, dtype, options.max_result)
            except (Passed, RuntimeError, TypeError, ValueError) as reason:
                passed[str(reason)[:80]] = passed.get(str(reason)[:80], 0) + 1
                continue
            finally:
                signal.alarm(0)
            metas.append(case.meta)
            arrays.update({"%s/%s" % (name, stored): array for stored, array in case.arrays.items()})
    if metas:
        path = os.path.join(options.out, full_name(op))
        save_file(arrays, path + ".safetensors")
        with open(path + ".json", "w", encoding="utf-8") as file:
            file.write("[" + ",\n".join(json.dumps(meta, separators=(",", ":")) for meta in metas) + "]\n")
    return len(metas), passed


def work(name, options):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    op = next(op for op in invocations.op_db if full_name(op) == name)
    count, passed = record_op(op, options)
    print("%s: %d cases%s" % (name, count, "".join(", %d: %s" % (n, why) for why, n in passed.items())), flush=True)


def wanted_names(options):
    names = [full_name(op) for op in invocations.op_db]
    wanted = options.ops.split(",") if options.ops else None
    if options.compact:
        with open(REQUIRED, encoding="utf-8") as file:
            wanted = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    if wanted is None:
        return names
    return [name for name in names if name in wanted or name.split("+")[0] in wanted]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="the folder to write into")
    parser.add_argument("--ops", help="names or names+variant, with commas between; default: all that PyTorch has")
    parser.add_argument("--samples", type=int, default=20, help="the most of each type; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other samples")
    parser.add_argument("--max-elements", type=int, default=65536, help="the most elements of a sample's inputs")
    parser.add_argument("--extremal", action="store_true", help="also NaN, infinities, large and tiny numbers")
    parser.add_argument("--compact", action="store_true", help="few small samples of the ops in tests/conformance/required.txt")
    options = parser.parse_args()
    if options.compact:
        options.samples, options.max_elements, options.extremal = 2, 60, True
    options.max_result = 16 * options.max_elements
    os.makedirs(options.out, exist_ok=True)
    broken = []
    for name in wanted_names(options):
        process = multiprocessing.Process(target=work, args=(name, options))
        process.start()
        process.join()
        if process.exitcode:
            broken.append(name)
    if broken:
        sys.exit("these could not be recorded: " + " ".join(broken))


if __name__ == "__main__":
    main()
