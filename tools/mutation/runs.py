"""The tests as runs of programs, and what becomes of a mutant in them."""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
import re
import tempfile
import time

from mutation.session import finish

ROOM = 1 << 16  # bytes of the file behind AG_MUTANT_SEEN, as in mutants.c
REACHED, DIFFERS = 1, 2


@dataclass
class Run:
    name: str
    command: list
    env: dict = field(default_factory=dict)
    seconds: float = 0  # of the library as it is
    reached: set = field(default_factory=set)  # mutants
    differing: set = field(default_factory=set)


@dataclass
class Fate:
    mutant: object
    outcome: str  # killed, survived, unreached, invalid
    by: str = ""


def all_runs(root, build, suites, cases):
    """test_registry once for each op's rows, the other suites whole, and ag-conformance for each op of the folders."""
    runs = []
    if "test_registry" in suites:
        answers = (root / "tests/data/op_answers.txt").read_text()
        ops = dict.fromkeys(re.findall(r"^[~^]*([a-z_]\w*(?:\.\w+)?) (?!.*:$)", answers, re.M))
        ops.pop("covered", None)
        runs = [Run(f"test_registry AG_TEST_OP={op}", [build / "tests/test_registry"], {"AG_TEST_OP": op}) for op in ops]
    runs += [Run(s, [build / "tests" / s]) for s in suites if s != "test_registry"]
    for folder in cases:
        # those of the repository were recorded with the PyTorch that is right
        differs = ["--differs", "none"] if folder.is_relative_to(root) else []
        for file in sorted(folder.glob("*.safetensors")):
            runs.append(Run(f"ag-conformance {folder.name} {file.stem}",
                            [build / "tools/ag-conformance", folder, "--op", file.stem, *differs]))
        for file in sorted(folder.glob("*.jsonl")):
            runs.append(Run(f"ag-conformance {file.name}", [build / "tools/ag-conformance", "--programs", file]))
    return runs


class Seen:
    """The file in which a program says which mutants it reached."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="mutants-")
        self.clear()

    def clear(self):
        self.file.seek(0)
        self.file.write(bytes(ROOM))
        self.file.flush()

    def read(self):
        self.file.seek(0)
        return self.file.read(ROOM)


def start(run, seen, mutant, limit):
    """Whether it passed, and its seconds. A run that takes too long has failed."""
    env = {**run.env, "AG_MUTANT_SEEN": seen.file.name, "AG_MUTANT": str(mutant)}
    begin = time.monotonic()
    status = finish(run.command, env, limit)
    return status == 0, time.monotonic() - begin


def in_turn(items, jobs, work):
    """work(item, seen) for each, `jobs` at a time; yields the results as they come, in order."""
    idle = [Seen() for _ in range(jobs)]

    def one(item):
        seen = idle.pop()
        try:
            return work(item, seen)
        finally:
            idle.append(seen)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, items)


def trace(runs, jobs):
    """Runs all with the library as it is; the names of those that fail already."""

    def one(run, seen):
        seen.clear()
        passed, run.seconds = start(run, seen, 0, 600)
        marks = seen.read()
        run.reached = {n for n in range(ROOM) if marks[n] & REACHED}
        run.differing = {n for n in range(ROOM) if marks[n] & DIFFERS}
        return None if passed else run.name

    return [name for name in in_turn(runs, jobs, one) if name]


def fate_of(mutant, runs, seen):
    """Whether a run that reaches it notices, quick ones first. A Variable in another's place is noticed only where the two
    were alike: that more is kept for its sake is no mutant."""
    may_differ = mutant.kind == "saved" and not mutant.expression
    n = mutant.number
    reaching = sorted((r for r in runs if n in r.reached), key=lambda r: r.seconds)
    if not reaching:
        return Fate(mutant, "unreached")
    differed = False
    for run in reaching:
        if not may_differ and n not in run.differing:
            continue
        seen.clear()
        passed, _ = start(run, seen, n, 20 + 10 * run.seconds)
        differs = not may_differ or bool(seen.read()[n] & DIFFERS)
        differed = differed or differs
        if differs and not passed:
            return Fate(mutant, "killed", run.name)
    return Fate(mutant, "survived" if differed else "invalid")


def try_all(mutants, runs, jobs):
    yield from in_turn(mutants, jobs, lambda m, seen: fate_of(m, runs, seen))
