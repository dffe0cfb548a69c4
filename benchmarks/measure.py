"""What compare.py measures with: both sides as processes that stay alive, rounds in turn, and how quiet it was."""

import json
import os
import re
import statistics
import subprocess
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
MOST_TO_OTHERS = 0.03
PEAK_AGE = 10  # seconds that the machine's own figures may be old
SETTLE = 0.02  # seconds in which the other side's threads stop looking out for work


class Side:
    """A process that answers a line with a line; pinned to these CPUs."""

    def __init__(self, command, cpus, environment=None):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{self.process.args[0]} has ended at {line}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def cpu_seconds(self):
        """Of all its threads."""
        total = 0
        folder = f"/proc/{self.process.pid}/task"
        for thread in os.listdir(folder):
            try:
                with open(f"{folder}/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except OSError:  # it has ended meanwhile
                pass
        return total * 1e-9


def busy_seconds(cpus):
    """Of these CPUs, by whomever, stolen time included."""
    with open("/proc/stat", encoding="ascii") as file:
        lines = [line.split() for line in file if re.match(r"cpu[0-9]", line)]
    times = [[int(ticks) for ticks in line[1:9]] for line in lines if int(line[0][3:]) in cpus]
    return TICK * sum(sum(each) - each[3] - each[4] for each in times)


class Quiet:
    """Which share of the time of some CPUs went to others than `sides` and this process."""

    def __init__(self, cpus, sides):
        self.cpus, self.sides = cpus, sides
        self.start = self.now()

    def now(self):
        ours = time.process_time() + sum(side.cpu_seconds() for side in self.sides)
        return time.monotonic() * len(self.cpus), busy_seconds(self.cpus), ours

    def others(self):
        whole, busy, ours = (now - then for then, now in zip(self.start, self.now()))
        share = max(busy - ours, 0) / max(whole, TICK)
        return 0.0 if busy - ours <= 2 * TICK else share  # /proc/stat counts in ticks


class Session:
    """The sides at one number of threads."""

    def __init__(self, threads, cpus, settings):
        self.threads, self.cpus, self.settings = threads, cpus, settings
        self.program, self.ours = None, None
        self.theirs = Side(settings.torch_command(threads), cpus) if settings.torch else None
        self.machine, self.machine_time = None, 0
        self.best = {"f32": 0, "f64": 0, "copy": 0}

    def start(self, program):
        """Takes up another of our programs."""
        if self.ours:
            self.ours.close()
        command = [os.path.join(self.settings.build, "benchmarks", program), "--serve", "--threads", str(self.threads)]
        command += ["--round-ms", str(self.settings.round_ms), "--data", self.settings.data]
        self.program, self.ours = program, Side(command, self.cpus)

    def close(self):
        for side in (self.ours, self.theirs):
            if side:
                side.close()

    def sides(self):
        return [side for side in (self.ours, self.theirs) if side]

    def peaks(self):
        """The machine's own figures, the most of some readings: more, where they fall short of the best so far."""
        if self.machine and time.monotonic() - self.machine_time <= PEAK_AGE:
            return self.machine
        self.machine = self.ours.ask("machine")
        for _ in range(6):
            self.read_machine()
            if all(self.machine[key] >= 0.97 * self.best[key] for key in self.best):
                break
        self.machine_time = time.monotonic()
        return self.machine

    def read_machine(self):
        """A further reading. Somebody in the way can only make one too small."""
        reading = self.ours.ask("machine")
        for key in self.best:
            self.machine[key] = max(self.machine[key], reading[key])
            self.best[key] = max(self.best[key], self.machine[key])

    def group(self, cases, rounds):
        """Cases that share one counterpart, the first one's: a record each. The rounds alternate between all of them."""
        for _ in range(self.settings.tries):
            machine = self.peaks()
            for case in cases:
                self.ours.ask(case["case"])  # set up and checked
            first = self.settings.counterpart(cases[0])
            theirs = self.theirs.ask(json.dumps(first)) if self.theirs and first else None
            quiet = Quiet(self.cpus, self.sides())
            ours, others = {case["case"]: [] for case in cases}, {}
            wrong = {}
            for _ in range(rounds):
                for case in cases:
                    answer = self.ours.ask(case["case"])
                    if "wrong" in answer:
                        wrong[case["case"]] = answer["wrong"]
                    else:
                        ours[case["case"]].append(answer["value"])
                if theirs and "wrong" not in theirs:
                    for variant, value in self.theirs.ask(json.dumps(first))["values"].items():
                        others.setdefault(variant, []).append(value)
                    if self.threads > 1:
                        time.sleep(SETTLE)
            share = quiet.others()
            self.read_machine()
            if share <= MOST_TO_OTHERS:
                break
        for side in self.sides():
            side.ask("drop")
        records = []
        for case in cases:
            record = {"program": self.program, "threads": self.threads, **case}
            record["capability"] = machine["machine"]
            record["peak"] = {key: machine[key] for key in ("f32", "f64", "copy")}
            record["others"] = round(share, 4)
            if case["case"] in wrong:
                record["wrong"] = wrong[case["case"]]
            else:
                record["argent"] = rounded(ours[case["case"]])
            if theirs and "wrong" in theirs:
                record["pytorch_wrong"] = theirs["wrong"]
            elif others:
                record["pytorch"] = {variant: rounded(values) for variant, values in others.items()}
            records.append(record)
        return records


def rounded(values):
    return [float(f"{value:.5g}") for value in values]


def median(values):
    return statistics.median(values)


# ---- whole processes ----


def wall_seconds(command, cpus, environment=None):
    """Seconds from a process's start to its end, and the most memory it held, in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


FIRST_STEP = """
import torch
torch.set_num_threads({threads})
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 10, 5), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Dropout2d(0.25), nn.Flatten(), nn.Linear(2000, 100), nn.ReLU(), nn.Linear(100, 10), nn.ReLU())
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
nn.functional.cross_entropy(net(torch.rand(64, 1, 28, 28)), torch.randint(0, 10, (64,))).backward()
optimizer.step()
"""


def processes(settings, cpus, rounds):
    """Records of what only a whole process shows: start-up, the library's size, the most memory held."""
    threads = len(cpus)
    build = settings.build
    environment = {"AG_NUM_THREADS": str(threads)}
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(wall_seconds([os.path.join(build, "benchmarks/bench_startup")], cpus, environment)[0] * 1e9)
        if settings.torch and len(theirs) < 3:  # seconds each
            command = [settings.python, "-c", FIRST_STEP.format(threads=threads)]
            theirs.append(wall_seconds(command, cpus)[0] * 1e9)
    record = {"program": "processes", "threads": threads, "case": "start-up to the first finished step", "unit": "ns"}
    record["argent"] = rounded(ours)
    if theirs:
        record["pytorch"] = {"eager": rounded(theirs)}
    records = [record]

    def add(name, value):
        records.append({"program": "processes", "threads": threads, "case": name, "unit": "bytes", "argent": [value]})

    library = os.path.realpath(os.path.join(build, "libargent.so"))
    stripped = os.path.join(build, "libargent-stripped")
    if subprocess.run(["strip", "-o", stripped, library], check=False).returncode == 0:
        add("stripped library", os.path.getsize(stripped))
        os.remove(stripped)
    raw = os.path.join(settings.data, "MNIST", "raw")
    files = {name: os.path.join(raw, name) for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                                       "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
    if all(os.path.exists(path) for path in files.values()):
        data = sum(os.path.getsize(path) for path in files.values())
        program = [os.path.join(build, "examples/mnist_cnn"), "--quiet", "--threads", str(threads), "--data", settings.data]
        add("memory: a training epoch, beyond the data",
            wall_seconds(program + ["--epochs", "1", "--no-eval"], cpus)[1] - data)  # fmt: skip
        add("memory: evaluating 10,000 images in one batch", wall_seconds(program + ["--epochs", "0"], cpus)[1])
    return records
