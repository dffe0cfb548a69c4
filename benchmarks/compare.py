#!/usr/bin/env python3
"""Argent beside PyTorch: runs the programs of this folder and benchmarks/torch_cases.py in turn, and writes the pages.

Usage: benchmarks/compare.py [--quick] [--filter TEXT] [--threads 1,2] [--no-torch] [--output DIR]
       benchmarks/compare.py --from RECORDS [--output DIR]      writes the pages again, measures nothing

Wants a release build in build/ (tools/bench makes it) and, for PyTorch's columns, a python3 that has torch: --python
names it. Each side is a process that stays alive, pinned to as many CPUs as it has threads. They alternate case by case
and round by round; the median of 7 rounds of at least 20 ms counts. PyTorch is eager, in float32; of NCHW and
channels_last the better one counts; torch.compile, where it works, trains the epoch as well. Peak rates are never older
than 10 seconds. Where more than 3 % of the time went to others, the rounds are taken again, at most twice.

Written into DIR (docs/): benchmarks.json, the records; benchmarks.md, the tables; benchmarks-*.svg, the plots. A run
with --filter or --quick writes into build/benchmarks/, unless --output says otherwise.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys

import measure
import report

root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
PROGRAMS = ["bench_tape", "bench_gemm", "bench_conv", "bench_pool", "bench_pointwise", "bench_reduce", "bench_model"]


class Settings:
    def __init__(self, options):
        self.build = os.path.abspath(options.build)
        self.data = os.path.abspath(options.data)
        self.python = options.python
        self.round_ms = 5 if options.quick else 20
        self.rounds = options.rounds or (3 if options.quick else 7)
        self.tries = 1 if options.quick else 3
        self.compile = not options.quick
        self.torch = not options.no_torch and self.has_torch()

    def has_torch(self):
        found = subprocess.run([self.python, "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode == 0
        if not found:
            print(f"{self.python} has no torch: Argent's columns only (--python names another)", file=sys.stderr)
        return found

    def torch_command(self, threads):
        return [self.python, os.path.join(root, "benchmarks/torch_cases.py"), "--threads", str(threads),
                "--round-ms", str(self.round_ms), "--data", self.data] + ([] if self.compile else ["--no-compile"])  # fmt: skip

    @staticmethod
    def counterpart(case):
        """What PyTorch is asked for; None: nothing is like it."""
        return None if case["unit"] != "ns" else case


def list_cases(settings, program, text):
    command = [os.path.join(settings.build, "benchmarks", program), "--list", "--data", settings.data]
    command += ["--filter", text] if text else []
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def wanted(case, threads):
    """With more threads than one only what can use them."""
    if threads == 1:
        return True
    small = case["flops"] < 2e7 and case["bytes"] < 1 << 20
    return not small and not (case.get("op") == "conv2d" and case["n"] != 64)


def groups(cases):
    """Cases that differ in our memory format only are one problem to PyTorch."""
    found = {}
    for case in cases:
        key = {name: value for name, value in case.items() if name not in ("case", "layout")}
        if case.get("family") == "pointwise":
            key["layout"] = case["layout"]
        found.setdefault(json.dumps(key, sort_keys=True), []).append(case)
    return list(found.values())


def run(settings, options, cpus):
    records = []
    for threads in options.threads:
        session = measure.Session(threads, cpus[:threads], settings)
        for program in PROGRAMS:
            cases = [c for c in list_cases(settings, program, options.filter) if wanted(c, threads)]
            if not cases:
                continue
            session.start(program)
            for group in groups(cases):
                # An epoch takes seconds. PyTorch's is compared where both have all threads.
                epoch = group[0].get("op") == "mnist_epoch"
                theirs = session.theirs
                if epoch and threads < max(options.threads):
                    session.theirs = None
                found = session.group(group, min(settings.rounds, 7) if epoch else settings.rounds)
                session.theirs = theirs
                records += found
                for record in found:
                    print(report.line(record), flush=True)
        session.close()
    if not options.filter or options.filter in "processes":
        records += measure.processes(settings, cpus[: max(options.threads)], settings.rounds)
    return records


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def about(settings, options):
    """What the figures belong to."""
    def first_line(command):
        try:
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  cwd=root).stdout.splitlines()[0]  # fmt: skip
        except (OSError, subprocess.CalledProcessError, IndexError):
            return ""

    torch = first_line([settings.python, "-c", "import torch; print(torch.__version__)"]) if settings.torch else ""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "compiler": first_line(["cc", "--version"]),
        "libc": " ".join(platform.libc_ver()),
        "commit": first_line(["git", "rev-parse", "--short=10", "HEAD"]),
        "torch": torch,
        "rounds": settings.rounds,
        "round_ms": settings.round_ms,
        "threads": options.threads,
    }


def main():
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 5 ms: to see whether it works")
    parser.add_argument("--filter", help="only cases with this text in their names")
    parser.add_argument("--threads", help="one or more numbers; 1 and up to 2 unless given")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--build", default=os.path.join(root, "build"))
    parser.add_argument("--data", default=os.path.join(root, "data"))
    parser.add_argument("--output", help="where the pages go")
    parser.add_argument("--from", dest="records", help="records of an earlier run")
    options = parser.parse_args()
    if options.records:
        with open(options.records, encoding="utf-8") as file:
            everything = json.load(file)
        output = options.output or os.path.join(root, "docs")
    else:
        options.threads = [int(n) for n in (options.threads or ("1,2" if len(cpus) > 1 else "1")).split(",")]
        if max(options.threads) > len(cpus) or min(options.threads) < 1:
            parser.error(f"--threads: there are {len(cpus)} CPUs")
        settings = Settings(options)
        everything = {"about": about(settings, options), "records": run(settings, options, cpus)}
        whole = not options.quick and not options.filter
        output = options.output or (os.path.join(root, "docs") if whole else os.path.join(settings.build, "benchmarks"))
    os.makedirs(output, exist_ok=True)
    report.write(everything, output)
    print(f"Written: {os.path.join(output, 'benchmarks.md')}")
    return 1 if any("wrong" in record for record in everything["records"]) else 0


if __name__ == "__main__":
    sys.exit(main())
