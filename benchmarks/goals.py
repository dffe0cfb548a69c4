"""What each figure must reach, and whether it does."""

import json
import os
import re
from statistics import median

ARITHMETIC = ("add", "mul", "div", "relu", "sqrt")
TRANSCENDENTAL = ("exp", "log", "tanh", "sigmoid", "sin", "gelu")
# "Not slower" allows for what two measurements of the same thing differ by.
SLACK = 0.95


def value(record):
    """Argent's median: nanoseconds, or bytes."""
    return median(record["argent"]) if record.get("argent") else None


def eager(record):
    """PyTorch's median, of the better variant that is not compiled; None where there is none."""
    return min((median(values) for variant, values in record.get("pytorch", {}).items() if variant != "compile"), default=None)


def ratio(record):
    """How many times faster than PyTorch."""
    return eager(record) / value(record) if value(record) and eager(record) else None


def fraction(record):
    """Of the peak rate of the same run: of multiply-adds, or of copying where a case has no arithmetic to speak of."""
    ns, peak = value(record), record.get("peak")
    if not ns or not peak or record.get("unit") != "ns":
        return None
    if record.get("flops"):
        return record["flops"] / ns * 1e9 / peak["f64" if record["dtype"] == "f64" else "f32"]
    return record["bytes"] / ns * 1e9 / peak["copy"] if record.get("bytes") else None


class Goal:
    """measure(record) must be at least (or at most) `bound` for the records that it is about."""

    def __init__(self, name, about, measure, bound, at_most=False, form="{:.3g}x"):
        self.name, self.about, self.measure, self.bound = name, about, measure, bound
        self.at_most, self.form = at_most, form

    def text(self):
        return ("at most " if self.at_most else "at least ") + self.shown(self.bound)

    def shown(self, number):
        return self.form.format(100 * number if "%" in self.form else 1e-6 * number if " M" in self.form or "ms" in self.form else number)

    def check(self, record):
        """None where it is not about that record or nothing was measured; else (met, what is attained)."""
        if "wrong" in record or not self.about(record):
            return None
        attained = self.measure(record)
        if attained is None:
            return None
        met = attained <= self.bound if self.at_most else attained >= self.bound
        return met, self.shown(attained)


def is_op(*names):
    return lambda r: r.get("op") in names


def listed(record):
    return record.get("op") == "conv2d" and " odd " not in record["case"]


def mnist2_batch_last(record):
    return record["case"].startswith("conv mnist2") and record.get("layout") == "batch-last" and record.get("n") == 64


def large_square(record):
    return record.get("op") == "mm" and min(record["rows"], record["columns"], record["inner"]) >= 512


def layer_product(record):
    return record.get("op") == "mm" and sorted((record["rows"], record["columns"], record["inner"])) == [64, 100, 2000]


def large(record, ops):
    return record.get("op") in ops and record.get("family") in ("pointwise", "reduce") and record["bytes"] >= 64 << 20


def large_sum(record):
    return large(record, ("sum", "mean", "amax", "argmax", "var", "softmax", "log_softmax"))


def below_tape(tape_figure):
    """Nanoseconds beyond the op of 4 elements that is not recorded."""
    return lambda r: value(r) - tape_figure if tape_figure else None


def epoch_at(threads):
    return lambda r: r.get("op") == "mnist_epoch" and r["threads"] == threads


def compiled_ratio(record):
    values = record.get("pytorch", {}).get("compile")
    return median(values) / value(record) if values and value(record) else None


def times_floor(record):
    share = fraction(record)
    return 1 / share if share else None


def goals(records):
    tape = [value(r) for r in records if r["case"] == "tape 4 elements: forward, not recorded" and r.get("argent")]
    percent = "{:.0f} %"
    return [
        Goal("MNIST epoch, 2 threads, beside its floor", epoch_at(2), times_floor, 1.5, True),
        Goal("MNIST epoch, 2 threads, beside eager PyTorch", epoch_at(2), ratio, 3),
        Goal("MNIST epoch, 2 threads, beside torch.compile", epoch_at(2), compiled_ratio, 1),
        Goal("MNIST epoch, 1 thread, beside its floor", epoch_at(1), times_floor, 1.4, True),
        Goal("inference of 10,000 images", lambda r: r.get("op") == "mnist_cnn" and not r["trains"], ratio, 3),
        Goal("tape, 4 elements, all of it",
             lambda r: r["case"] == "tape 4 elements: forward, record, backward, free", value, 100, True, "{:.0f} ns"),
        Goal("tape, 4 elements, beside PyTorch from Python",
             lambda r: r["case"] == "tape 4 elements: forward, record, backward, free", ratio, 20),
        Goal("products from 512^3 up, of peak", large_square, fraction, 0.85, form=percent),
        Goal("64x100x2000 and its transposes, of peak", layer_product, fraction, 0.70, form=percent),
        Goal("products, beside PyTorch", is_op("mm"), ratio, SLACK),
        Goal("convolutions of the list, beside PyTorch", listed, ratio, SLACK),
        Goal("MNIST's conv2, batch-last, of peak", mnist2_batch_last, fraction, 0.85, form=percent),
        Goal("elementwise, large, of the copy rate", lambda r: large(r, ARITHMETIC), fraction, 0.85, form=percent),
        Goal("reductions, large, of the copy rate", large_sum, fraction, 0.85, form=percent),
        Goal("up to 256 elements, beyond the tape figure",
             lambda r: r.get("family") == "pointwise" and r["rows"] * r["columns"] <= 256,
             below_tape(tape[0] if tape else None), 30, True, "{:.0f} ns"),
        Goal("transcendentals, beside PyTorch",
             lambda r: r.get("op") in TRANSCENDENTAL and r["rows"] * r["columns"] >= 1 << 20, ratio, SLACK),
        Goal("start-up to the first finished step", lambda r: r["case"].startswith("start-up"), value, 50e6, True, "{:.3g} ms"),
        Goal("stripped library", lambda r: r["case"] == "stripped library", value, 2e6, True, "{:.3g} MB"),
        Goal("memory of a training epoch", lambda r: r["case"].startswith("memory: a training"), value, 150e6, True, "{:.3g} MB"),
        Goal("memory of evaluating", lambda r: r["case"].startswith("memory: evaluating"), value, 700e6, True, "{:.3g} MB"),
    ]  # fmt: skip


def reasons():
    """Why a goal is missed: [(pattern of the case, pattern of the goal, sentence)], from reasons.json."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "reasons.json"), encoding="utf-8") as file:
        return [(re.compile(r["case"]), re.compile(r["goal"]), r["why"]) for r in json.load(file)]
