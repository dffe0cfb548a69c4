#!/usr/bin/env python3
"""Argent beside PyTorch on a CUDA device: the cases of this folder's programs, in one call of a few minutes.

Usage: benchmarks/cuda.py [--build DIR] [--data DIR] [--filter TEXT] [--quick] [--json FILE] [--python PYTHON]

Runs each program with --device, then PyTorch's counterparts (torch_cases.py) with TF32 off and on, and prints a line a
case: Argent; PyTorch eager, the better of its memory formats; the same with TF32; a whole training step captured as a
graph. Both keep MNIST on the device. Where there is no PyTorch that knows the device, Argent's column stands alone. DIR
may be a bundle of tools/gpu-bundle.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ["bench_tape", "bench_pointwise", "bench_reduce", "bench_gemm", "bench_conv", "bench_pool", "bench_model"]
COLUMNS = ["argent", "eager", "tf32", "captured"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(here, "..", "build"))
    parser.add_argument("--data", default=os.path.join(here, "..", "data"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--filter", default="")
    parser.add_argument("--quick", action="store_true", help="rounds of a millisecond, one a case")
    parser.add_argument("--json", help="all figures, in nanoseconds")
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    return parser.parse_args()


def program_of(options, name):
    for folder in ("benchmarks", "bin"):
        path = os.path.join(options.build, folder, name)
        if os.path.isfile(path):
            return path
    sys.exit(f"cuda.py: there is no {name} in {options.build}: tools/bench makes it")


def rounds(options):
    return ["--round-ms", "1"] if options.quick else ["--round-ms", "20"]


def measure_argent(options, name):
    """The records of a program's cases; none where no case has the filter in its name."""
    program, common = program_of(options, name), ["--data", options.data, "--device", options.device]
    common += ["--filter", options.filter] if options.filter else []
    if not subprocess.run([program, "--list", *common], capture_output=True, text=True, check=True).stdout:
        return []
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [program, *common, *rounds(options), "--rounds", "1" if options.quick else "5", "--json", file.name]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode > 1:  # 1: a case was wrong, which its record says
            sys.exit(f"cuda.py: {name} ended with status {done.returncode}")
        return json.load(file)["records"]


def measure_torch(options, cases, *more):
    """{case: {variant: ns}}; empty where there is no PyTorch for the device."""
    probe = f"import torch; torch.zeros(1, device={options.device!r})"
    if subprocess.run([options.python, "-c", probe], capture_output=True, check=False).returncode:
        print(f"{options.python} has no torch that knows {options.device}: Argent's column only", file=sys.stderr)
        return {}
    lines = [json.dumps(case) for case in cases]
    lines = [line for case in lines for line in ([case] if options.quick else [case] * 3 + ["drop"])]
    command = [options.python, os.path.join(here, "torch_cases.py"), "--device", options.device, "--no-compile",
               "--data", options.data, *rounds(options), *more]  # fmt: skip
    done = subprocess.run(command, input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True)
    found = {}
    for answer in map(json.loads, done.stdout.splitlines()):
        for variant, value in answer.get("values", {}).items():
            found.setdefault(answer["case"], {}).setdefault(variant, []).append(value)
        if "wrong" in answer:
            print(f"{answer['case']}: PyTorch: {answer['wrong']}", file=sys.stderr)
    return {case: {v: sorted(ns)[len(ns) // 2] for v, ns in variants.items()} for case, variants in found.items()}


def best(variants, captured):
    """Of the memory formats the one that takes less time."""
    return min((ns for name, ns in variants.items() if name.endswith("captured") == captured), default=None)


def text(ns):
    if ns is None:
        return "-"
    return f"{ns:.0f} ns" if ns < 1e4 else f"{ns / 1e3:.1f} us" if ns < 1e7 else f"{ns / 1e6:.2f} ms"


def rows(options):
    cases = [case for name in PROGRAMS for case in measure_argent(options, name) if case["unit"] == "ns"]
    exact = measure_torch(options, cases)
    tf32 = measure_torch(options, cases, "--tf32") if exact else {}
    for case in cases:
        name = case["case"]
        yield name, {"argent": case.get("median"), "eager": best(exact.get(name, {}), False),
                     "tf32": best(tf32.get(name, {}), False), "captured": best(exact.get(name, {}), True),
                     "wrong": case.get("wrong")}  # fmt: skip


def main():
    options = arguments()
    found = dict(rows(options))
    if not found:
        sys.exit(f"cuda.py: no case has {options.filter!r} in its name")
    print(f"{'':58}" + "".join(f"{c:>12}" for c in COLUMNS))
    for name, row in found.items():
        print(f"{name:58}" + (f"  WRONG: {row['wrong']}" if row["wrong"] else "".join(f"{text(row[c]):>12}" for c in COLUMNS)))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return int(any(row["wrong"] for row in found.values()))


if __name__ == "__main__":
    sys.exit(main())
