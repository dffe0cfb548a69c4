"""The pages that compare.py writes, from its records."""

import json
import os

import goals
import plots

PARTS = [
    ("bench_model", "Networks"),
    ("processes", "Whole processes"),
    ("bench_tape", "The tape"),
    ("bench_gemm", "Products of matrices"),
    ("bench_conv", "Convolutions"),
    ("bench_pool", "Pooling"),
    ("bench_pointwise", "Elementwise"),
    ("bench_reduce", "Reductions, softmax, losses"),
]


def quantity(number, unit):
    if number is None:
        return ""
    steps = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)] if unit == "ns" else [("bytes", 1), ("KB", 1e3), ("MB", 1e6)]
    name, size = [step for step in steps if abs(number) >= step[1]][-1] if abs(number) >= 1 else steps[0]
    return f"{number / size:.3g} {name}" if number / size < 100 else f"{number / size:.0f} {name}"


def percent(fraction):
    return "" if fraction is None else f"{100 * fraction:.0f} %"


def times(ratio):
    return "" if ratio is None else f"{ratio:.2f}" if ratio < 20 else f"{ratio:.0f}"


def line(record):
    """A record on the terminal."""
    if "wrong" in record:
        return f"{record['case']:58} WRONG: {record['wrong']}"
    disturbed = record.get("others", 0)
    note = f"  ({100 * disturbed:.0f} % went to others)" if disturbed > 0.03 else ""
    unit = record["unit"]
    return (
        f"{record['threads']} {record['case']:56} {quantity(goals.value(record), unit):>9} "
        f"{quantity(goals.eager(record), unit):>9} {times(goals.ratio(record)):>6} {percent(goals.fraction(record)):>6}{note}"
    )


def verdicts(record, all_goals):
    """Of each goal that is about the record: (goal, met, attained)."""
    found = ((goal, goal.check(record)) for goal in all_goals)
    return [(goal, *result) for goal, result in found if result]


def better_variant(record):
    variants = {v: goals.median(n) for v, n in record.get("pytorch", {}).items() if v != "compile"}
    name = min(variants, key=variants.get, default=None)
    return {"channels_last": " (NHWC)"}.get(name, "") if len(variants) > 1 else ""


def row(record, all_goals):
    if "wrong" in record:
        return f"| {record['case']} | {record['threads']} | wrong: {record['wrong']} | | | | | |"
    unit, wanted, met = record["unit"], [], []
    for goal, is_met, attained in verdicts(record, all_goals):
        wanted.append(goal.text())
        met.append("yes" if is_met else f"**no: {attained}**")
    compiled = record.get("pytorch", {}).get("compile")
    theirs = quantity(goals.eager(record), unit) + better_variant(record)
    if compiled:
        theirs += f"; compiled {quantity(goals.median(compiled), unit)}"
    cells = [record["case"], str(record["threads"]), quantity(goals.value(record), unit), theirs, times(goals.ratio(record))]
    return "| " + " | ".join(cells + [percent(goals.fraction(record)), "; ".join(wanted), "; ".join(met)]) + " |"


def summary(records, all_goals):
    """A line a goal: how many cases meet it, and the one furthest from it."""
    lines = ["| goal | wanted | cases that meet it | the last of them |", "|---|---|---|---|"]
    for goal in all_goals:
        found = [(r, goal.measure(r), *goal.check(r)) for r in records if goal.check(r)]
        if not found:
            lines.append(f"| {goal.name} | {goal.text()} | not measured | |")
            continue
        worst = (max if goal.at_most else min)(found, key=lambda f: f[1])
        met = sum(f[2] for f in found)
        mark = f"{met} of {len(found)}" if met == len(found) else f"**{met} of {len(found)}**"
        threads = f", {worst[0]['threads']} threads" if worst[0]["threads"] > 1 else ""
        lines.append(f"| {goal.name} | {goal.text()} | {mark} | {worst[0]['case']}{threads}: {worst[3]} |")
    return lines


def missed(records, all_goals):
    """What is missed, gathered by goal and by the reason that reasons.json gives."""
    known, found = goals.reasons(), {}
    for goal in all_goals:
        for record in records:
            result = goal.check(record)
            if not result or result[0]:
                continue
            why = next((w for case, name, w in known if case.search(record["case"]) and name.search(goal.name)), "")
            threads = f", {record['threads']} threads" if record["threads"] > 1 else ""
            found.setdefault((goal.name, why), []).append((goal.measure(record), record["case"] + threads, result[1]))
    lines = []
    for (name, why), cases in found.items():
        cases.sort()
        (_, first, low), (_, last, high) = cases[0], cases[-1]
        several = f"{len(cases)} cases, from {low} ({first}) to {high} ({last})"
        lines.append(f"- {name}: {several if len(cases) > 1 else f'{first}, {low}'}. {why or 'Not looked into yet.'}")
    return lines or ["Nothing."]


def environment(about):
    torch = f"PyTorch {about['torch']}" if about.get("torch") else "without PyTorch"
    return (
        f"Measured on {about['date']} at commit {about['commit'] or '?'}: {about['cpu']}, {about['compiler']}, "
        f"{about['libc']}, {torch}. Medians of {about['rounds']} rounds of at least {about['round_ms']} ms, both sides in "
        f"turn, pinned to as many CPUs as threads; `benchmarks/compare.py` does it again."
    )


def page(everything):
    records = everything["records"]
    all_goals = goals.goals(records)
    peaks = {}
    for r in records:
        if "peak" in r:
            peaks.setdefault((r["threads"], r["capability"]), []).append(r["peak"])
    lines = ["# How fast it is", "", environment(everything["about"]), ""]
    for (threads, isa), found in sorted(peaks.items()):
        f32, f64, copy = (goals.median([p[key] for p in found]) / 1e9 for key in ("f32", "f64", "copy"))
        lines.append(f"- {threads} thread{'s' if threads > 1 else ''}, {isa}: multiply-adds {f32:.0f} GFLOP/s in float32, "
                     f"{f64:.0f} in float64; copies {copy:.0f} GB/s, read and written (medians over the run)")  # fmt: skip
    lines += [
        "",
        "*Ratio* is PyTorch's time over Argent's: above 1 Argent is faster. PyTorch is eager, in float32 (float64 where a "
        "case says f64), called from Python; of NCHW and channels_last the better one counts. *Of peak* is of the machine's "
        "multiply-adds, or of its copy rate for what only moves numbers, measured at most 10 seconds before; what stays in a "
        "cache can exceed the copy rate. Every result was compared with a plain float64 computation before it was timed.",
        "",
        "![Ratios](benchmarks-ratio.svg)",
        "",
        "![Of peak](benchmarks-peak.svg)",
        "",
        "## The goals",
        "",
        *summary(records, all_goals),
        "",
        "## What is missed, and why",
        "",
        *missed(records, all_goals),
    ]
    for program, title in PARTS:
        found = [r for r in records if r["program"] == program]
        if not found:
            continue
        lines += ["", f"## {title}", "", "| workload | threads | Argent | PyTorch | ratio | of peak | goal | met |",
                  "|---|---|---|---|---|---|---|---|"]  # fmt: skip
        lines += [row(r, all_goals) for r in found]
    disturbed = [r for r in records if r.get("others", 0) > 0.03]
    if disturbed:
        lines += ["", "More than 3 % of the time went to others in all tries of: "
                  + "; ".join(f"{r['case']} ({100 * r['others']:.0f} %)" for r in disturbed) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"


def write(everything, folder):
    def put(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    records = ",\n".join(json.dumps(record) for record in everything["records"])
    put("benchmarks.json", f'{{"about": {json.dumps(everything["about"])}, "records": [\n{records}\n]}}\n')
    put("benchmarks.md", page(everything))
    for name, text in plots.plots(everything["records"]).items():
        put(name, text)
