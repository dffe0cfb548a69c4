"""Bars as SVG, readable on a light and on a dark page."""

import math
from xml.sax.saxutils import escape

import goals

WIDTH, LABEL, ROW, TOP, NUMBER = 860, 330, 19, 46, 60
STYLE = """
  text { font: 12px sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: bold }
  .faint { fill: #57606a }
  .bar { fill: #2f6f9f }
  .below { fill: #b3541e }
  line { stroke: #8c959f; stroke-width: 1; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .faint { fill: #9198a1 }
    .bar { fill: #4f9fd6 }
    .below { fill: #e08a4f }
    line { stroke: #6e7681 }
  }
"""


def bars(title, rows, marks, scale, form, below):
    """rows: (label, number); marks: numbers with a line across; scale: number -> 0..1; below: drawn in another colour."""
    height = TOP + ROW * len(rows) + 24
    room = WIDTH - LABEL - NUMBER
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for mark in marks:
        x = LABEL + room * scale(mark)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 20}"/>')
        parts.append(f'<text class="faint" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{form(mark)}</text>')
    for i, (label, number) in enumerate(rows):
        y = TOP + ROW * i
        wide = max(room * min(scale(number), 1), 1)
        parts.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{"below" if below(number) else "bar"}" x="{LABEL}" y="{y + 2}" '
                     f'width="{wide:.1f}" height="{ROW - 5}" rx="2"/>')  # fmt: skip
        parts.append(f'<text class="faint" x="{LABEL + wide + 5:.1f}" y="{y + 12}">{form(number)}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def label(record):
    return record["case"] + (f", {record['threads']} threads" if record["threads"] > 1 else "")


def chosen(record):
    """The cases of a plot: one thread, the epoch with all; of convolutions batch 64, of other ops the large ones."""
    if record["program"] == "bench_model":
        return "n37" not in record["case"]
    if record["threads"] != 1 and record["program"] != "processes":
        return False
    if record["program"] == "bench_conv":
        return record["n"] == 64
    if record["program"] == "bench_tape":
        return "recorded" not in record["case"] and record["elements"] == 4
    if record["program"] == "bench_pointwise":
        return " 16M " in record["case"] or " 256 " in record["case"]
    return record["program"] in ("bench_gemm", "bench_pool", "bench_reduce", "processes")


def plots(records):
    """{file name: text}"""
    records = [r for r in records if "wrong" not in r and chosen(r)]
    ratios = [(label(r), goals.ratio(r)) for r in records if goals.ratio(r)]
    shares = [(label(r), goals.fraction(r)) for r in records
              if r["program"] in ("bench_gemm", "bench_conv", "bench_model") and goals.fraction(r)]  # fmt: skip
    low, high = math.log(0.25), math.log(max([64] + [n for _, n in ratios]))
    return {
        "benchmarks-ratio.svg": bars(
            "How many times faster than PyTorch", ratios, [1, 2, 4, 8, 16, 32],
            lambda n: max(math.log(n) - low, 0) / (high - low), lambda n: f"{n:.3g}x", lambda n: n < goals.SLACK,
        ),
        "benchmarks-peak.svg": bars(
            "Of the machine's multiply-adds", shares, [0.25, 0.5, 0.75, 1], lambda n: n, lambda n: f"{100 * n:.0f} %",
            lambda n: False,
        ),
    }  # fmt: skip
