#!/usr/bin/env python3
"""Argent beside PyTorch on a CUDA device: all that docs/cuda.md promises, in one call of a few minutes.

Usage: benchmarks/cuda.py [--build DIR] [--data DIR] [--output DIR] [--python PYTHON] [--filter TEXT] [--all]
       benchmarks/cuda.py --from RECORDS [--output DIR]      writes the page again, measures nothing

Runs the programs of this folder, torch_cases.py in turn with them, both once more with TF32 allowed; then compares the
losses of a training with the CPU's, and runs the suites under compute-sanitizer. MNIST lies on the device on both sides.
DIR may be a bundle of tools/gpu-bundle. Written into the output folder (DIR/benchmarks): benchmarks-cuda.md, which begins
with the goals, met or missed, and benchmarks-cuda.json, the records. What cannot be measured, for want of PyTorch, say,
is said there, too.

    --all       convolutions and pooling as well, for which there is no goal
    --quick     a few small cases, a round each: whether it works
    --dry-run   the same, PyTorch on the CPU: its steps are not captured then; its figures mean nothing
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import cuda_page
import measure

here = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ["bench_model", "bench_tape", "bench_gemm", "bench_pointwise", "bench_reduce"]
WITHOUT_GOAL = ["bench_conv", "bench_pool"]
IN_TF32 = ["bench_model", "bench_gemm"]
QUICK = re.compile(r"tape 4 .*(recorded|record)$|launch|64x10x100|add 256 |(clone|mul) 64M|sum 8192x8192 f32 all|"
                   r"mnist_cnn n64 training step(, captured)?$|mnist epoch")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SECONDS_A_TOOL = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(here, "..", "build"))
    parser.add_argument("--data", default=os.path.join(here, "..", "data"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--filter", default="", help="only cases with this text in their names")
    parser.add_argument("--all", action="store_true", help="convolutions and pooling as well")
    parser.add_argument("--quick", action="store_true", help="a few small cases, a round each")
    parser.add_argument("--dry-run", action="store_true", help="the same, with PyTorch on the CPU")
    parser.add_argument("--output", help="where the page goes (DIR/benchmarks)")
    parser.add_argument("--python", default=sys.executable or "python3", help="one that has torch")
    parser.add_argument("--from", dest="records", help="records of an earlier run")
    options = parser.parse_args()
    options.quick = options.quick or options.dry_run
    options.build, options.data = os.path.abspath(options.build), os.path.abspath(options.data)
    options.output = options.output or os.path.join(options.build, "benchmarks")
    options.emulated = "libargent-cuda-host" in os.environ.get("AG_CUDA_PLUGIN", "")
    options.round_ms, options.rounds = (1, 1) if options.quick else (20, 5)
    return options


def program_of(options, name, *folders):
    for folder in (*folders, "bin"):
        path = os.path.join(options.build, folder, name)
        if os.path.isfile(path):
            return path
    sys.exit(f"cuda.py: there is no {name} in {options.build}: tools/bench makes it")


def first_line(*command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


# ---- both sides in turn ----


def argent_command(options, program, *more):
    return [program_of(options, program, "benchmarks"), "--data", options.data, "--device", options.device,
            "--round-ms", str(options.round_ms), *more]  # fmt: skip


def cases_of(options, program):
    command = argent_command(options, program, "--list", *(["--filter", options.filter] if options.filter else []))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cuda.py: {program} on {options.device}: {done.stderr.strip()}")
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    return [case for case in cases if case["unit"] == "ns" and (not options.quick or QUICK.search(case["case"]))]


def torch_side(options, tf32):
    device = "cpu" if options.dry_run else options.device
    command = [options.python, os.path.join(here, "torch_cases.py"), "--device", device, "--no-compile", "--data", options.data,
               "--round-ms", str(options.round_ms), "--captured"]  # fmt: skip
    return measure.Side(command + (["--tf32"] if tf32 else []), os.sched_getaffinity(0))


def measure_case(case, ours, theirs, rounds):
    """The record: each side is asked once to set the case up, then they take turns."""
    record = {**case, "threads": 1}
    question = json.dumps(case)
    answer = ours.ask(case["case"])
    other = theirs.ask(question) if theirs and case["op"] not in ("launch", "cublas") else {}
    if "wrong" in answer:
        record["wrong"] = answer["wrong"]
    if "wrong" in other:
        record["pytorch_wrong"] = other["wrong"]
    for _ in range(rounds):
        if "wrong" not in answer:
            record.setdefault("argent", []).append(ours.ask(case["case"])["value"])
        if "values" in other:
            for variant, value in theirs.ask(question)["values"].items():
                record.setdefault("pytorch", {}).setdefault(variant, []).append(value)
    ours.ask("drop")
    if theirs:
        theirs.ask("drop")
    return record


def measure_programs(options, torch, tf32):
    theirs = torch_side(options, tf32) if torch else None
    programs = PROGRAMS + (WITHOUT_GOAL if options.all else [])
    for program in programs:
        cases = cases_of(options, program) if not tf32 or program in IN_TF32 else []
        cases = [case for case in cases if not tf32 or case["dtype"] == "f32"]
        if not cases:
            continue
        ours = measure.Side(argent_command(options, program, "--serve", *(["--tf32"] if tf32 else [])), os.sched_getaffinity(0))
        for case in cases:
            record = {"program": program, "tf32": tf32, **measure_case(case, ours, theirs, options.rounds)}
            print(cuda_page.line(record), flush=True)
            yield record
        ours.close()
    if theirs:
        theirs.close()


# ---- the losses ----


def losses(options, device, dtype, steps):
    with tempfile.TemporaryDirectory() as place:
        log = os.path.join(place, "log")
        command = [program_of(options, "mnist_cnn", "examples"), "--data", options.data, "--device", device, "--dtype", dtype,
                   "--epochs", "1", "--batch-size", "64", "--limit", str(64 * steps), "--dropout", "0", "--seed", "1",
                   "--log", log, "--quiet", "--no-eval"]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip() or f"mnist_cnn ended with status {done.returncode}"
        with open(log, encoding="utf-8") as file:
            return [float(line.split()[1]) for line in file]


def compare_losses(options):
    """How far a training on the device is from one on the CPU, at most: |difference| / max(1, |loss|)."""
    for dtype, steps in (("float64", 200), ("float32", 50)):
        if options.quick:
            steps = 2
        record = {"program": "mnist_cnn", "case": f"losses of {steps} steps in {dtype}, beside the CPU's", "op": "losses",
                  "dtype": dtype, "unit": "", "threads": 1, "tf32": False}  # fmt: skip
        here_, there = losses(options, "cpu", dtype, steps), losses(options, options.device, dtype, steps)
        if isinstance(here_, str) or isinstance(there, str):
            record["wrong"] = here_ if isinstance(here_, str) else there
        elif len(here_) != steps or len(there) != steps:
            record["wrong"] = f"{len(there)} losses, on the CPU {len(here_)}"
        else:
            record["argent"] = [max(abs(a - b) / max(1, abs(a)) for a, b in zip(here_, there))]
        print(cuda_page.line(record), flush=True)
        yield record


# ---- the sanitizer ----


def suites(options):
    """The programs of tests/cuda, those that are about a part of the device first."""
    for folder in ("tests/cuda", "bin"):
        place = os.path.join(options.build, folder)
        names = sorted(n for n in os.listdir(place) if re.fullmatch(r"test_cuda\w*", n)) if os.path.isdir(place) else []
        found = [os.path.join(place, n) for n in names if n != "test_cuda_kernels" and os.path.isfile(os.path.join(place, n))]
        if found:
            return found
    return []


def sanitize(options, sanitizer):
    """How many suites fail under each tool, or have something to say."""
    environment = {**os.environ, "AG_CUDA_NO_CACHE": "1"}
    for tool in TOOLS:
        until, failed, done = time.monotonic() + SECONDS_A_TOOL, [], []
        for suite in suites(options):
            left = until - time.monotonic()
            command = [sanitizer, "--tool", tool, "--target-processes", "all", "--error-exitcode", "99", suite]
            try:
                status = left > 0 and subprocess.run(command, env=environment, cwd=options.build, timeout=left, check=False,
                                                     stdin=subprocess.DEVNULL, capture_output=True).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                status = False
            if status is False:
                continue
            done.append(os.path.basename(suite))
            if status:
                failed.append(os.path.basename(suite))
        left_out = [os.path.basename(s) for s in suites(options) if os.path.basename(s) not in done]
        record = {"program": "compute-sanitizer", "case": f"{tool}: suites that fail, of {len(done)}", "op": "sanitizer",
                  "unit": "", "dtype": "", "threads": 1, "tf32": False, "failed": failed, "left_out": left_out}  # fmt: skip
        if done:
            record["argent"] = [len(failed)]
        print(cuda_page.line(record), flush=True)
        yield record


# ---- all of it ----


def commit_of(options):
    """Of the checkout; a bundle says it itself."""
    try:
        with open(os.path.join(options.build, "about.txt"), encoding="utf-8") as file:
            return file.read().split()[1].rstrip(";")
    except (OSError, IndexError):
        return first_line("git", "-C", here, "rev-parse", "--short=10", "HEAD")


def about(options, torch):
    gpu = first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return {
        "date": datetime.date.today().isoformat(),
        "device": "the emulation on a CPU: the figures mean nothing" if options.emulated else gpu or options.device,
        "commit": commit_of(options),
        "torch": torch + (" on the CPU, its steps not captured: these figures mean nothing" if options.dry_run and torch else ""),
        "rounds": options.rounds,
        "round_ms": options.round_ms,
    }


def measure_all(options):
    """The records, and what could not be measured."""
    missing, device = [], "cpu" if options.dry_run else options.device
    probe = f"import torch; torch.zeros(1, device={device!r}); print(torch.__version__)"
    torch = first_line(options.python, "-c", probe)
    if not torch:
        missing.append(f"PyTorch: {os.path.basename(options.python)} has no torch that knows {device} (--python names another)")
    records = list(measure_programs(options, torch, False)) + list(measure_programs(options, torch, True))
    if not records:
        sys.exit(f"cuda.py: no case has {options.filter!r} in its name")
    whole = not options.filter
    has = {record["op"] for record in records}
    if whole and "launch" not in has:
        missing.append("launches without Argent, and cuBLAS called directly: there is no driver to call")
    elif whole and "cublas" not in has:
        missing.append("cuBLAS called directly: libcublas cannot be opened (AG_CUBLAS names one)")
    if whole and "mnist_epoch" not in has:
        missing.append(f"epochs and losses: MNIST is not in {options.data} (tools/fetch-mnist brings it)")
    elif whole:
        records += compare_losses(options)
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if whole and not options.quick and not options.emulated and sanitizer:
        records += sanitize(options, sanitizer)
    else:
        why = "the emulation has its own checks" if options.emulated else "a short run leaves it out"
        missing.append(f"compute-sanitizer: {why if sanitizer else 'it is not there'}")
    return {"about": {**about(options, torch), "missing": missing}, "records": records}


def main():
    options = arguments()
    if options.records:
        with open(options.records, encoding="utf-8") as file:
            everything = json.load(file)
    else:
        everything = measure_all(options)
    os.makedirs(options.output, exist_ok=True)
    with open(os.path.join(options.output, "benchmarks-cuda.json"), "w", encoding="utf-8") as file:
        json.dump(everything, file, indent=1)
    page = cuda_page.page(everything)
    with open(os.path.join(options.output, "benchmarks-cuda.md"), "w", encoding="utf-8") as file:
        file.write(page)
    print("\n" + cuda_page.goals_part(everything) + f"\nWritten: {os.path.join(options.output, 'benchmarks-cuda.md')}")
    return int(any("wrong" in record for record in everything["records"]))


if __name__ == "__main__":
    sys.exit(main())
