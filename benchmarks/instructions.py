#!/usr/bin/env python3
"""Counts the instructions of the tape and of small ops under callgrind, and compares them with those on record.

Usage: benchmarks/instructions.py PROGRAM            fails where a count has grown by more than 2 %
       benchmarks/instructions.py --record PROGRAM   writes benchmarks/instructions.txt anew

PROGRAM is benchmarks/count of a release build. AVX2 is forced, since valgrind knows no AVX-512. Counts belong to a
compiler and a C library; with others, without valgrind or without AVX2 there is nothing to compare (exit status 77, which
Meson reads as skipped). A commit that raises one says why.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.txt")
MOST_GROWTH = 1.02


def environment():
    return {**os.environ, "AG_CPU_CAPABILITY": "avx2", "AG_NUM_THREADS": "1"}


def skip(why):
    """77 tells Meson "skipped": counts of another compiler or C library say nothing about this tree."""
    print(f"skipped: {why}")
    sys.exit(77)


def summary_of(path):
    with open(path, encoding="utf-8") as file:
        return int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.MULTILINE).group(1))


def belongs_to(lines):
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if not line.startswith("case ")}


def count(program):
    """What the counts belong to, and instructions a run of each case."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "counts")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-before=count_mark", program]
        run = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode:
            sys.exit(f"{program} failed under valgrind:\n{run.stdout}{run.stderr}")
        lines = run.stdout.splitlines()
        names = [line[5:] for line in lines if line.startswith("case ")]
        # A part is written at each mark; every second one is what lies between the two marks of a case.
        parts = sorted(glob.glob(out + ".*"), key=lambda path: int(path.rsplit(".", 1)[1]))
        if len(parts) < 2 * len(names):
            sys.exit(f"callgrind wrote {len(parts)} parts for {len(names)} cases")
        repeat = int(belongs_to(lines)["repeat"])
        return belongs_to(lines), {name: summary_of(parts[2 * i + 1]) / repeat for i, name in enumerate(names)}


def read_record():
    about, counts = {}, {}
    with open(RECORD, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            number, name = line.rstrip("\n").split(None, 1)
            if re.fullmatch(r"[0-9.]+", number):
                counts[name] = float(number)
            else:
                about[number] = name
    return about, counts


def write_record(about, counts):
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("# Instructions a run, counted by benchmarks/instructions.py, and what they belong to.\n")
        for name in ("compiler", "libc", "capability"):
            file.write(f"{name} {about[name]}\n")
        file.write("\n")
        for name, number in counts.items():
            file.write(f"{number:10.1f}  {name}\n")


def compare(counts, recorded):
    """Prints the counts beside the record; the names of those that have grown, or that are not on record."""
    bad = []
    for name, number in counts.items():
        then = recorded.get(name)
        change = "not on record" if then is None else f"{100 * (number / then - 1):+.1f} %"
        wrong = then is None or number > then * MOST_GROWTH
        print(f"{number:10.1f}  {change:>14}{' !' if wrong else '  '} {name}")
        if wrong:
            bad.append(name)
    return bad


def main():
    arguments = sys.argv[1:]
    record = arguments[:1] == ["--record"]
    if len(arguments) != 1 + record:
        sys.exit(__doc__)
    program = arguments[-1]
    if not shutil.which("valgrind"):
        skip("there is no valgrind")
    about = belongs_to(subprocess.run([program], env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines())
    if about["capability"] != "avx2":
        skip("this CPU has no AVX2")
    if not record:
        then, recorded = read_record()
        for name in ("compiler", "libc"):
            if then[name] != about[name]:
                skip(f"the counts belong to {then[name]}, this is {about[name]}")
    about, counts = count(program)
    if record:
        write_record(about, counts)
        return 0
    bad = compare(counts, recorded)
    if bad:
        print(f"More instructions than on record, by over 2 %: {', '.join(bad)}. If there is a reason, say it in the "
              "commit, with the counts recorded anew (--record).")  # fmt: skip
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
