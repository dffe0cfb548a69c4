#!/usr/bin/env python3
"""Records calls that PyTorch refuses (the error inputs of its OpInfos) with its words, for build/tools/ag-conformance --errors.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0 numpy expecttest
    /tmp/venv/bin/python tools/record-refusals.py FILE.json --ops add,cat
    /tmp/venv/bin/python tools/record-refusals.py tests/data/conformance/refusals.json --required     what tools/test runs

docs/conformance.md says what stands in the file. A call that PyTorch takes, or that has an argument without a plain form, is left out.
"""

import argparse
import json
import math
import os
import warnings

import torch
import torch.testing._internal.common_methods_invocations as invocations

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIRED = os.path.join(HERE, "..", "tests", "conformance", "required.txt")
MOST_NUMBERS = 64  # of a tensor, written out; a larger one is all ones


class NoPlainForm(Exception):
    pass


def number(value):
    return value if not isinstance(value, float) or math.isfinite(value) else repr(value)


def tensor_tree(tensor):
    if tensor.layout != torch.strided or tensor.dtype.is_complex:
        raise NoPlainForm
    node = {"t": "tensor", "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    node["requires_grad"] = tensor.requires_grad
    if tensor.numel() <= MOST_NUMBERS:
        node["data"] = [number(value) for value in tensor.detach().flatten().tolist()]
    return node


def tree(value):
    if isinstance(value, torch.Tensor):
        return tensor_tree(value)
    if isinstance(value, (list, tuple)):
        return {"t": "tuple" if isinstance(value, tuple) else "list", "v": [tree(part) for part in value]}
    if value is None:
        return {"t": "none"}
    if isinstance(value, (bool, int, float, str)):
        return {"t": type(value).__name__, "v": number(value)}
    if isinstance(value, torch.dtype):
        return {"t": "dtype", "v": str(value).removeprefix("torch.")}
    raise NoPlainForm


def refusals_of(op):
    """A record of each of the op's calls that is refused."""
    torch.manual_seed(3)
    for k, error_input in enumerate(op.error_inputs("cpu")):
        sample = error_input.sample_input
        try:
            record = {
                "op": op.name,
                "variant": op.variant_test_name or None,
                "k": k,
                "call": [tree(value) for value in (sample.input, *sample.args)],
                "kwargs": {name: tree(value) for name, value in sample.kwargs.items()},
            }
            op.op(sample.input, *sample.args, **sample.kwargs)
        except NoPlainForm:
            continue
        except Exception as error:  # whatever it raises is what is recorded
            record["torch"] = {"type": type(error).__name__, "text": str(error)[:400]}
            yield record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--ops", help="names, with commas between; default: all that PyTorch has")
    parser.add_argument("--required", action="store_true", help="the ops in tests/conformance/required.txt")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    wanted = options.ops.split(",") if options.ops else None
    if options.required:
        with open(REQUIRED, encoding="utf-8") as file:
            wanted = [line.strip().split("+")[0] for line in file if not line.startswith("#")]
    records = []
    for op in invocations.op_db:
        if op.error_inputs_func and (wanted is None or op.name in wanted):
            records += refusals_of(op)
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("[" + ",\n".join(json.dumps(record, separators=(",", ":")) for record in records) + "]\n")
    print("%d calls" % len(records))


if __name__ == "__main__":
    main()
