"""Tests of the measuring itself: the programs' modes, the pages that compare.py writes, the counting of instructions.

Usage: benchmarks.py FOLDER_OF_PROGRAMS
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from xml.etree import ElementTree

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "benchmarks"))
sys.dont_write_bytecode = True
import compare
import cuda_page
import goals
import instructions
import measure
import report

FIXTURE = os.path.join(here, "data", "benchmarks.json")
PROGRAMS = compare.PROGRAMS + ["bench_machine"]
folder = sys.argv.pop(1)


def program(name, *arguments, given=""):
    return subprocess.run([os.path.join(folder, name), *arguments], input=given, capture_output=True, text=True, check=False)


class Programs(unittest.TestCase):
    def test_lists(self):
        for name in PROGRAMS:
            cases = [json.loads(line) for line in program(name, "--list").stdout.splitlines()]
            names = [case["case"] for case in cases]
            self.assertGreater(len(names), 2)
            self.assertEqual(len(set(names)), len(names), name)
            for case in cases:
                self.assertTrue({"unit", "flops", "bytes", "per", "dtype"} <= set(case), case)
                self.assertTrue("op" in case or name == "bench_machine", case)

    def test_layouts_share_a_counterpart(self):
        cases = [json.loads(line) for line in program("bench_conv", "--list", "--filter", "n64 ").stdout.splitlines()]
        found = compare.groups(cases)
        self.assertEqual({len(group) for group in found}, {2})
        self.assertEqual(sum(map(len, found)), len(cases))

    def test_table_and_records(self):
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "records.json")
            arguments = ["--filter", "64x10x100", "--rounds", "3", "--round-ms", "1", "--json", path]
            run = program("bench_gemm", *arguments)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("gemm layer 64x10x100", run.stdout)
            self.assertIn("GFLOP/s", run.stdout)
            with open(path, encoding="utf-8") as file:
                records = json.load(file)
            self.assertGreater(records["peak_f32"], 0)
            (record,) = records["records"]
            self.assertEqual(len(record["rounds"]), 3)
            self.assertEqual(record["median"], sorted(record["rounds"])[1])

    def test_every_small_case_is_right(self):
        for name, text in (("bench_tape", "4 elements"), ("bench_pointwise", " 256 "), ("bench_reduce", "64x10 "),
                           ("bench_conv", "mnist1 5x5 1-10 n8"), ("bench_conv", "padding 7"), ("bench_pool", "odd"),
                           ("bench_model", "mlp")):  # fmt: skip
            run = program(name, "--filter", text, "--rounds", "1", "--round-ms", "1")
            self.assertEqual(run.returncode, 0, run.stdout)

    def test_serve(self):
        name = "gemm layer 64x10x100 B^T f32"
        run = program("bench_gemm", "--serve", "--round-ms", "1", given=f"{name}\n{name}\nnone\ndrop\nmachine\n")
        first, second, wrong, dropped, machine = map(json.loads, run.stdout.splitlines())
        self.assertEqual(run.returncode, 1)  # one was wrong
        self.assertGreater(first["value"], 0)
        self.assertEqual(second["case"], name)
        self.assertIn("no such case", wrong["wrong"])
        self.assertEqual(dropped, {})
        self.assertGreater(machine["f32"], machine["f64"])

    def test_wrong_arguments(self):
        for arguments in (["--nothing"], ["--threads"], ["--threads", "0"], ["--rounds", "x"], ["--filter", "no such case"]):
            run = program("bench_gemm", *arguments)
            self.assertEqual(run.returncode, 2, arguments)
            self.assertTrue(run.stderr.startswith("bench: "), run.stderr)


def on_cuda(case, argent, pytorch=None, **more):
    """A record of cuda.py."""
    record = {"case": case, "argent": [argent], "unit": "ns", "op": "", "dtype": "f32", "tf32": False, "threads": 1, **more}
    return {**record, "pytorch": {name: [ns] for name, ns in pytorch.items()}} if pytorch else record


class CudaPage(unittest.TestCase):
    def setUp(self):
        epoch = {"program": "bench_model", "op": "mnist_epoch"}
        large = {"rows": 8192, "columns": 8192, "bytes": 4e8}
        product = {"program": "bench_gemm", "op": "mm"}
        self.records = [
            on_cuda("mnist epoch", 70e6, {"eager": 280e6}, **epoch),
            on_cuda("mnist epoch, captured", 40e6, {"eager": 280e6, "captured": 90e6}, captured=True, **epoch),
            on_cuda("mnist epoch, captured", 36e6, {"eager": 200e6, "captured": 80e6}, captured=True, **{**epoch, "tf32": True}),
            on_cuda("launch of the driver", 1500, program="bench_tape", op="launch"),
            on_cuda("tape 4 elements: forward, not recorded", 1690, program="bench_tape"),
            on_cuda("gemm 8x8x8 f32", 100, **product),
            on_cuda("cublas gemm 8x8x8 f32", 98, program="bench_gemm", op="cublas"),
            on_cuda("gemm 8x8x8 f32", 100, **{**product, "tf32": True}),
            on_cuda("cublas gemm 8x8x8 f32", 90, program="bench_gemm", **{"op": "cublas", "tf32": True}),
            on_cuda("clone 64M f32", 100, program="bench_pointwise", family="pointwise", **{**large, "op": "clone"}),
            on_cuda("mul 64M f32", 160, program="bench_pointwise", family="pointwise", **{**large, "bytes": 6e8}),
            on_cuda("sum 8192x8192 f32 all", 60, program="bench_reduce", family="reduce", **{**large, "bytes": 2e8}),
            on_cuda("losses", 2e-9, program="mnist_cnn", op="losses", dtype="float64", unit=""),
            on_cuda("memcheck", 1, program="compute-sanitizer", op="sanitizer", unit="", failed=["test_a"], left_out=["test_b"]),
        ]
        self.about = {"date": "today", "commit": "", "device": "H200", "torch": "2.13", "rounds": 5, "round_ms": 20,
                      "missing": ["this: it is not there"]}  # fmt: skip
        self.page = cuda_page.page({"about": self.about, "records": self.records})

    def goal(self, name):
        (found,) = [line for line in self.page.splitlines() if line.startswith(f"| {name} |")]
        return [cell.strip() for cell in found.strip("|").split("|")][1:]

    def test_goals(self):
        for name, cells in {
            "MNIST epoch, float32, op by op": ["at most 75 ms", "1 of 1", "mnist epoch: 70 ms"],
            "MNIST epoch, TF32, captured": ["at most 35 ms", "**0 of 1**", "mnist epoch, captured: 36 ms"],
            "MNIST epoch, float32, op by op, beside eager PyTorch": ["at least 5x", "**0 of 1**", "mnist epoch: 4x"],
            "MNIST epoch, float32, captured, beside eager PyTorch": ["at least 5x", "1 of 1", "mnist epoch, captured: 7x"],
            "MNIST epoch, TF32, captured, beside PyTorch captured": ["at least 2x", "1 of 1", "mnist epoch, captured: 2.22x"],
            "an op, what the program spends beyond a launch": [
                "at most 200 ns", "1 of 1", "tape 4 elements: forward, not recorded: 190 ns"],
            "products, beside cuBLAS called directly": ["at least 0.97x", "**1 of 2**", "gemm 8x8x8 f32: 0.9x"],
            "elementwise, large, of the copy rate": ["at least 90 %", "1 of 1", "mul 64M f32: 94 %"],
            "reductions, large, of the copy rate": ["at least 90 %", "**0 of 1**", "sum 8192x8192 f32 all: 83 %"],
            "losses as on the CPU, float64": ["at most 1e-09", "**0 of 1**", "losses: 2e-09"],
            "losses as on the CPU, float32": ["at most 1e-05", "not measured", ""],
            "suites that fail under compute-sanitizer": ["at most 0", "**0 of 1**", "memcheck: 1"],
        }.items():  # fmt: skip
            self.assertEqual(self.goal(name), cells)

    def test_page(self):
        self.assertIn("- this: it is not there.", self.page)
        self.assertIn("| mnist epoch, captured | 40 ms | 280 ms | 90 ms | 2.25 | 36 ms | 200 ms | 80 ms |", self.page)
        self.assertIn("- memcheck: 1; failed: test_a; no time for: test_b", self.page)

    def test_wrong_cases_reach_no_goal(self):
        self.records[0]["wrong"] = "element 3 is 1, not 2"
        page = cuda_page.page({"about": self.about, "records": self.records})
        self.assertIn("| MNIST epoch, float32, op by op | at most 75 ms | not measured | |", page)
        self.assertIn("| mnist epoch | wrong: element 3 is 1, not 2 |", page)


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        command = [sys.executable, "-B", os.path.join(here, "..", "benchmarks", "compare.py"), "--from", FIXTURE]
        cls.written = subprocess.run(command + ["--output", cls.place.name], capture_output=True, text=True, check=False)
        with open(os.path.join(cls.place.name, "benchmarks.md"), encoding="utf-8") as file:
            cls.page = file.read()

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def row(self, case, threads):
        (found,) = [line for line in self.page.splitlines() if line.startswith(f"| {case} | {threads} |")]
        return [cell.strip() for cell in found.strip("|").split("|")]

    def test_a_wrong_case_fails(self):
        self.assertEqual(self.written.returncode, 1)
        self.assertIn("wrong: element 3 is 1, not 2", self.page)

    def test_rows(self):
        self.assertEqual(
            self.row("gemm 512x512x512 f32", 1),
            ["gemm 512x512x512 f32", "1", "1.19 ms", "2.39 ms", "2.00", "90 %", "at least 85 %; at least 0.95x", "yes; yes"],
        )
        self.assertEqual(self.row("gemm 512x512x512 f64", 2)[4:], ["0.50", "50 %", "at least 85 %; at least 0.95x",
                                                                   "**no: 50 %**; **no: 0.5x**"])  # fmt: skip

    def test_the_better_layout_counts(self):
        row = self.row("conv 3x3 64-64 at 56 n8 forward", 1)
        self.assertEqual(row[3], "6 ms (NHWC)")
        self.assertEqual(row[7], "**no: 0.75x**")

    def test_epoch(self):
        row = self.row("mnist epoch", 2)
        self.assertEqual(row[3], "9.6 s; compiled 4.8 s")
        self.assertEqual(row[7], "yes; yes; yes")
        self.assertEqual(self.row("mnist epoch", 1)[7], "yes")

    def test_goals(self):
        self.assertIn("| products from 512^3 up, of peak | at least 85 % | **1 of 2** |", self.page)
        self.assertIn("| stripped library | at most 2 MB | **0 of 1** | stripped library, 2 threads: 2.5 MB |", self.page)
        self.assertIn("| tape, 4 elements, all of it | at most 100 ns | not measured | |", self.page)

    def test_reasons(self):
        self.assertIn("- transcendentals, beside PyTorch: exp 1M f64, 0.5x. ", self.page)
        with open(FIXTURE, encoding="utf-8") as file:
            records = json.load(file)["records"]
        known = [(re.compile("f64"), re.compile("transcendentals"), "It is float64.")]
        with unittest.mock.patch("goals.reasons", lambda: known):
            lines = report.missed(records, goals.goals(records))
        self.assertIn("- transcendentals, beside PyTorch: exp 1M f64, 0.5x. It is float64.", lines)
        self.assertIn("- convolutions of the list, beside PyTorch: conv 3x3 64-64 at 56 n8 forward, 0.75x. Not looked into yet.", lines)

    def test_reasons_on_record_read(self):
        for case, goal, why in goals.reasons():
            self.assertTrue(case.pattern and goal.pattern and why.endswith("."))

    def test_disturbed_cases_are_named(self):
        self.assertIn("gemm 512x512x512 f64 (8 %)", self.page)

    def test_plots(self):
        for name in ("benchmarks-ratio.svg", "benchmarks-peak.svg"):
            tree = ElementTree.parse(os.path.join(self.place.name, name))
            self.assertIn("prefers-color-scheme: dark", ElementTree.tostring(tree.getroot(), encoding="unicode"))
            self.assertTrue(tree.findall(".//{http://www.w3.org/2000/svg}rect"))

    def test_records_come_out_as_they_went_in(self):
        with open(FIXTURE, encoding="utf-8") as then, open(os.path.join(self.place.name, "benchmarks.json"), encoding="utf-8") as now:
            self.assertEqual(json.load(then), json.load(now))


class Counts(unittest.TestCase):
    def test_growth(self):
        recorded = {"a": 1000.0, "b": 1000.0, "c": 1000.0}
        self.assertEqual(instructions.compare({"a": 1019.0, "b": 1021.0, "c": 500.0, "d": 1.0}, recorded), ["b", "d"])

    def test_the_record_reads(self):
        about, counts = instructions.read_record()
        self.assertEqual(about["capability"], "avx2")
        self.assertGreater(counts["mul 4"], 0)


class Quiet(unittest.TestCase):
    def test_share_of_others(self):
        quiet = measure.Quiet([0], [])
        quiet.start = (0, 0, 0)
        quiet.now = lambda: (10, 8, 5)
        self.assertAlmostEqual(quiet.others(), 0.3)
        quiet.now = lambda: (10, 5, 6)
        self.assertEqual(quiet.others(), 0)


unittest.main(verbosity=2)
