"""The page that cuda.py writes: the goals on a CUDA device, and what was measured."""

from goals import Goal, median, value
from report import quantity, summary, times

PARTS = [
    ("bench_model", "Networks"),
    ("bench_tape", "What an op costs the program"),
    ("bench_gemm", "Products of matrices"),
    ("bench_pointwise", "Elementwise"),
    ("bench_reduce", "Reductions, softmax, losses"),
    ("bench_conv", "Convolutions"),
    ("bench_pool", "Pooling"),
]
LARGE = 64 << 20  # elements


def theirs(record, captured):
    """PyTorch's median: of its memory formats the better one; a whole step captured, or not."""
    variants = record.get("pytorch", {})
    return min((median(ns) for name, ns in variants.items() if name.endswith("captured") == captured), default=None)


def ratio(captured):
    def measure(record):
        other = theirs(record, captured)
        return other / value(record) if other and value(record) else None

    return measure


def epoch(captured, tf32):
    return lambda r: r.get("op") == "mnist_epoch" and bool(r.get("captured")) == captured and r["tf32"] == tf32


def large(family):
    return lambda r: r.get("family") == family and r["op"] != "clone" and r["rows"] * r["columns"] >= LARGE


def is_op(name, dtype=None):
    return lambda r: r.get("op") == name and dtype in (None, r["dtype"])


def found(records, op):
    """{case: its figure} of an op, exact and in TF32."""
    return {(r["case"], r["tf32"]): value(r) for r in records if r.get("op") == op and value(r)}


def goals(records):
    launches, direct = found(records, "launch"), found(records, "cublas")
    copies = {r["case"]: r["bytes"] / value(r) for r in records if r.get("op") == "clone" and value(r)}
    launch, copy = min(launches.values(), default=None), max(copies.values(), default=None)

    def beyond_launch(record):
        return value(record) - launch if launch and value(record) else None

    def of_cublas(record):
        other = direct.get((f"cublas {record['case']}", record["tf32"]))
        return other / value(record) if other and value(record) else None

    def of_copies(record):
        return record["bytes"] / value(record) / copy if copy and value(record) else None

    percent, ms = "{:.0f} %", "{:.3g} ms"
    return [
        Goal("MNIST epoch, float32, op by op", epoch(False, False), value, 75e6, True, ms),
        Goal("MNIST epoch, float32, captured", epoch(True, False), value, 45e6, True, ms),
        Goal("MNIST epoch, TF32, captured", epoch(True, True), value, 35e6, True, ms),
        Goal("MNIST epoch, float32, op by op, beside eager PyTorch", epoch(False, False), ratio(False), 5),
        Goal("MNIST epoch, float32, captured, beside eager PyTorch", epoch(True, False), ratio(False), 5),
        Goal("MNIST epoch, float32, captured, beside PyTorch captured", epoch(True, False), ratio(True), 2),
        Goal("MNIST epoch, TF32, captured, beside eager PyTorch", epoch(True, True), ratio(False), 5),
        Goal("MNIST epoch, TF32, captured, beside PyTorch captured", epoch(True, True), ratio(True), 2),
        Goal("an op, what the program spends beyond a launch",
             lambda r: r["case"] == "tape 4 elements: forward, not recorded", beyond_launch, 200, True, "{:.0f} ns"),
        Goal("products, beside cuBLAS called directly", is_op("mm"), of_cublas, 0.97),
        Goal("elementwise, large, of the copy rate", large("pointwise"), of_copies, 0.9, form=percent),
        Goal("reductions, large, of the copy rate", large("reduce"), of_copies, 0.9, form=percent),
        Goal("losses as on the CPU, float64", is_op("losses", "float64"), value, 1e-9, True, "{:.2g}"),
        Goal("losses as on the CPU, float32", is_op("losses", "float32"), value, 1e-5, True, "{:.2g}"),
        Goal("suites that fail under compute-sanitizer", is_op("sanitizer"), value, 0, True, "{:.0f}"),
    ]  # fmt: skip


def figure(record):
    number = value(record)
    if record["unit"] == "ns":
        return quantity(number, "ns")
    return "" if number is None else f"{number:.2g}"


def line(record):
    """A record on the terminal."""
    name = record["case"] + (" (TF32)" if record["tf32"] else "")
    if "wrong" in record:
        return f"{name:70} WRONG: {record['wrong']}"
    note = f"  PyTorch: {record['pytorch_wrong']}" if "pytorch_wrong" in record else ""
    eager, captured = (quantity(theirs(record, c), "ns") for c in (False, True))
    return f"{name:70} {figure(record):>9} {eager:>9} {captured:>9}{note}"


def goals_part(everything):
    records, missing = everything["records"], everything["about"]["missing"]
    lines = summary([r for r in records if "wrong" not in r], goals(records))
    if missing:
        lines += ["", "Not measured:", "", *(f"- {sentence}." for sentence in missing)]
    return "\n".join(lines) + "\n"


def table(records):
    """A row a case; with TF32 beside it where that was measured."""
    in_tf32 = {r["case"]: r for r in records if r["tf32"]}
    lines = ["| case | Argent | PyTorch | its step captured | ratio | Argent, TF32 | PyTorch, TF32 | its step captured |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for record in (r for r in records if not r["tf32"]):
        if "wrong" in record:
            lines.append(f"| {record['case']} | wrong: {record['wrong']} | | | | | | |")
            continue
        other = in_tf32.get(record["case"])
        cells = [record["case"], figure(record), quantity(theirs(record, False), "ns"), quantity(theirs(record, True), "ns"),
                 times(ratio(bool(record.get("captured")))(record))]  # fmt: skip
        if other and "wrong" in other:
            cells += [f"wrong: {other['wrong']}", "", ""]
        else:
            cells += [figure(other), *(quantity(theirs(other, c), "ns") for c in (False, True))] if other else ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def page(everything):
    records, about = everything["records"], everything["about"]
    torch = f"PyTorch {about['torch']}" if about["torch"] else "without PyTorch"
    lines = ["# How fast it is on a CUDA device", "",
             f"Measured on {about['date']} at commit {about['commit'] or '?'}: {about['device']}; {torch}. Medians of "
             f"{about['rounds']} rounds of at least {about['round_ms']} ms, both sides in turn; `benchmarks/cuda.py` does it "
             "again.", "",
             "*Ratio* is PyTorch's time over Argent's, captured beside captured. PyTorch is called from Python; of NCHW and "
             "channels_last the better one counts. Both have MNIST on the device. The copy rate is that of copies of 64 million "
             "float32 elements, read and written. A launch is one of the driver's of a kernel that does nothing. Every result of "
             "Argent's was compared with a plain float64 computation before it was timed.", "",
             "## The goals", "", goals_part(everything)]  # fmt: skip
    for program, title in PARTS:
        rows = [r for r in records if r["program"] == program]
        if rows:
            lines += [f"## {title}", "", *table(rows), ""]
    rest = [r for r in records if r["program"] not in dict(PARTS)]
    if rest:
        lines += ["## Beside the CPU, and under compute-sanitizer", ""]
        for record in rest:
            named = [(what, record.get(key)) for key, what in (("failed", "failed"), ("left_out", "no time for"))]
            more = "".join(f"; {what}: {', '.join(names)}" for what, names in named if names)
            lines.append(f"- {record['case']}: {record.get('wrong') or figure(record) or 'none had time'}{more}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
