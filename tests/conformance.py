#!/usr/bin/env python3
"""conformance.py PROGRAM DATA: ag-conformance notices what is altered, refuses what is malformed, skips what is not there. DATA is the
folder of the recorded cases, of which these tests alter copies."""
import copy
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DATA = sys.argv[1:3]
TYPES = {"F64": "d", "F32": "f", "I64": "q", "I32": "i", "U8": "B", "BOOL": "?"}
FUZZ = 60  # altered files of each kind


def read_tensors(path):
    """{name: (type, shape, numbers)} of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + place for place in entry["data_offsets"])
        code = TYPES[entry["dtype"]]
        count = (end - begin) // struct.calcsize(code)
        tensors[name] = (entry["dtype"], entry["shape"], list(struct.unpack("<%d%s" % (count, code), data[begin:end])))
    return tensors


def write_tensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, (dtype, shape, numbers) in sorted(tensors.items(), key=lambda item: -struct.calcsize(TYPES[item[1][0]])):
        blob = struct.pack("<%d%s" % (len(numbers), TYPES[dtype]), *numbers)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Conformance(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_tool(self, *arguments):
        """(exit status, last line, output); a signal or a report of a sanitizer is a failure of the test."""
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, errors="replace", timeout=120)
        self.assertIn(done.returncode, (0, 1, 2), done.stderr[-2000:])
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertNotIn("runtime error", done.stderr)
        if done.returncode == 2:
            self.assertIn("ag-conformance: ", done.stderr)
        return done.returncode, (done.stdout.splitlines() or [""])[-1], done.stdout + done.stderr

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    # ---- OpInfo cases ----

    def load(self, op):
        with open(os.path.join(DATA, "opinfo", op + ".json"), encoding="utf-8") as file:
            return json.load(file), read_tensors(os.path.join(DATA, "opinfo", op + ".safetensors"))

    def check(self, op, cases, tensors, *arguments):
        self.write(op + ".json", json.dumps(cases))
        write_tensors(self.path(op + ".safetensors"), tensors)
        return self.run_tool(self.folder, "--differs", "none", "--op", op, *arguments)

    def test_what_is_not_altered_passes(self):
        for op in ("add", "sum", "nn.functional.conv2d", "where", "max+reduction_with_dim"):
            cases, tensors = self.load(op)
            self.assertEqual(self.check(op, cases, tensors)[:2], (0, "%d passed, 0 failed, 0 skipped" % len(cases)))

    def test_every_altered_tensor_is_noticed(self):
        for op in ("mul", "sum", "matmul", "index_select"):
            cases, tensors = self.load(op)
            used = {case["case"] + "/" + name for case in cases for name in names_used(case)}
            for name, (dtype, shape, numbers) in tensors.items():
                if name not in used or not numbers or name.startswith("ext_") or "/in_" in name:
                    continue
                altered = dict(tensors)
                changed = list(numbers)
                changed[-1] = changed[-1] + 1
                altered[name] = (dtype, shape, changed)
                status, last, _ = self.check(op, cases, altered)
                self.assertEqual((status, last), (1, "%d passed, 1 failed, 0 skipped" % (len(cases) - 1)), op + " " + name)

    def test_every_altered_flag_is_noticed(self):
        def shape(case):
            case["out"]["shape"] = [1] + case["out"]["shape"]

        def dtype(case):
            case["out"]["dtype"] = "int64"

        def wants_grad(case):
            case["call"][0]["requires_grad"] = not case["call"][0]["requires_grad"]

        def is_view(case):
            case["view_of_input"] = [] if case.get("view_of_input") else ["out_0"]

        def returns_input(case):
            case["returns_input"] = not case.get("returns_input")

        def no_gradient(case):
            case["grad"]["in_0"] = None

        def another_op(case):
            case["call"] = case["call"][:1]

        for op in ("view", "mul"):
            cases, tensors = self.load(op)
            number = next(k for k, case in enumerate(cases) if all(case["out"]["shape"]) and case["dtype"] == "f64")
            for alter in (shape, dtype, wants_grad, is_view, returns_input, no_gradient, another_op):
                altered = copy.deepcopy(cases)
                alter(altered[number])
                status, last, _ = self.check(op, altered, tensors)
                self.assertEqual((status, last), (1, "%d passed, 1 failed, 0 skipped" % (len(cases) - 1)), op + " " + alter.__name__)

    def test_a_missing_tensor_fails_its_case(self):
        cases, tensors = self.load("add")
        del tensors[cases[0]["case"] + "/out_0"]
        status, last, output = self.check("add", cases, tensors)
        self.assertEqual((status, last), (1, "%d passed, 1 failed, 0 skipped" % (len(cases) - 1)))
        self.assertIn("the file has no tensor", output)

    def test_an_op_that_is_not_there_is_skipped_unless_it_is_required(self):
        cases, tensors = self.load("add")
        for case in cases:
            case["op"] = "subtrahend"
        status, last, output = self.check("subtrahend", cases, tensors, "--list-unsupported")
        self.assertEqual((status, last), (0, "0 passed, 0 failed, %d skipped" % len(cases)))
        self.assertIn("not in the library: subtrahend", output)
        required = self.write("required.txt", "# a comment\nadd\nsubtrahend\n")
        status, last, _ = self.check("subtrahend", cases, tensors, "--required", required)
        self.assertEqual((status, last), (1, "0 passed, %d failed, 0 skipped" % len(cases)))

    def test_cases_are_chosen_by_op_and_by_type(self):
        for op in ("add", "div+floor_rounding"):
            cases, tensors = self.load(op)
            self.check(op, cases, tensors)
        wide = sum(case["dtype"] == "f64" for case in self.load("div+floor_rounding")[0])
        status, last, _ = self.run_tool(self.folder, "--op", "div", "--dtype", "f64")
        self.assertEqual((status, last), (0, "%d passed, 0 failed, 0 skipped" % wide))

    def test_a_dump_has_what_was_computed_under_the_case_s_names(self):
        cases, tensors = self.load("mul")
        dump = self.path("dump")
        self.check("mul", cases, tensors, "--dump", dump)
        dumped = read_tensors(os.path.join(dump, "mul.safetensors"))
        for case in cases:
            names = [case["out"]["id"]] + [name for key in ("grad", "ggrad") for name in case.get(key, {}).values() if name]
            for name in names:
                name = case["case"] + "/" + name
                self.assertEqual(dumped[name][:2], tensors[name][:2], name)
                for ours, theirs in zip(dumped[name][2], tensors[name][2]):
                    same = ours == theirs or (ours != ours and theirs != theirs)
                    self.assertTrue(same or abs(ours - theirs) <= 1e-5 * max(abs(theirs), 1), name)

    def test_there_is_a_record_of_every_case(self):
        cases, tensors = self.load("mul")
        place = next(k for k, case in enumerate(cases) if tensors[case["case"] + "/out_0"][2])
        name = cases[place]["case"] + "/out_0"
        dtype, shape, numbers = tensors[name]
        tensors[name] = (dtype, shape, [number + 1 for number in numbers])
        records = self.path("records.json")
        self.check("mul", cases, tensors, "--json", records)
        with open(records, encoding="utf-8") as file:
            records = json.load(file)
        self.assertEqual([record["case"] for record in records], [case["case"] for case in cases])
        self.assertEqual([record["outcome"] for record in records].count("failed"), 1)
        self.assertIn("out_0", records[place]["why"])

    def test_a_malformed_file_is_an_error(self):
        cases, tensors = self.load("add")
        self.check("add", cases, tensors)
        good = json.dumps(cases)
        for text in ("", "{}", "[]", "[1]", good[:-1], good + "x", good.replace('"op"', '"po"', 1), "[" * 100000, "\x00", '["\\ud800"]'):
            self.write("add.json", text)
            self.assertEqual(self.run_tool(self.folder)[0], 2, text[:40])
        self.write("add.json", good.replace('"case":"', '"case":"same', 1).replace(cases[1]["case"], cases[0]["case"]))
        self.assertEqual(self.run_tool(self.folder)[0], 2)
        self.write("add.json", good)
        os.truncate(self.path("add.safetensors"), 100)
        self.assertEqual(self.run_tool(self.folder)[0], 2)
        os.remove(self.path("add.safetensors"))
        self.assertEqual(self.run_tool(self.folder)[0], 2)
        self.assertEqual(self.run_tool(self.path("nowhere"))[0], 2)

    def test_values_of_any_kind_in_any_place_are_survived(self):
        rng = random.Random(1)
        for op in ("where", "nn.functional.conv2d", "cat", "to"):
            cases, tensors = self.load(op)
            for _ in range(FUZZ):
                altered = copy.deepcopy(cases)
                for _ in range(rng.randrange(1, 4)):
                    alter_somewhere(altered, rng)
                self.check(op, altered, tensors)

    def test_wrong_usage_is_explained(self):
        for arguments in ([], ["--op"], ["--nonsense"], [self.folder, "--programs", "x"], [self.folder, "--op"]):
            status, _, output = self.run_tool(*arguments)
            self.assertEqual(status, 2)
            self.assertIn("usage: ag-conformance", output)

    # ---- programs ----

    def programs(self):
        with open(os.path.join(DATA, "programs.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def check_programs(self, programs):
        path = self.write("programs.jsonl", "".join(json.dumps(program) + "\n" for program in programs))
        return self.run_tool("--programs", path)

    def test_an_altered_program_is_noticed(self):
        def wrong_values(program):
            program["regs"][0][5] = [value + 1 for value in program["regs"][0][5]]

        def wrong_flag(number):
            def alter(program):
                register = program["regs"][0]
                register[number] = register[number] + 1 if number == 3 else not register[number]

            return alter

        def wrong_gradient(program):
            name, values = next((name, values) for name, values in program["grad"].items() if values)
            program["grad"][name] = [value + 1 for value in values]

        def no_gradient(program):
            program["grad"][next(name for name, values in program["grad"].items() if values)] = None

        def refused(program):
            program["fail"] = {"step": "backward", "cat": "saved_modified"}

        def plain(program):
            return program.get("mode") == "backward" and "fail" not in program and "hook_inplace" not in program

        usable = [p for p in self.programs() if plain(p) and any(p["grad"].values()) and "error" not in p["regs"][0]]
        program = next(p for p in usable if p["regs"][0][5])
        self.assertEqual(self.check_programs([program])[:2], (0, "1 passed, 0 failed, 0 skipped"))
        for alter in (wrong_values, *map(wrong_flag, (1, 2, 3, 4)), wrong_gradient, no_gradient, refused):
            altered = copy.deepcopy(program)
            alter(altered)
            self.assertEqual(self.check_programs([altered])[:2], (1, "0 passed, 1 failed, 0 skipped"))

    def test_another_error_than_pytorch_s_is_noticed(self):
        program = next(p for p in self.programs() if p.get("fail", {}).get("cat") == "leaf")
        self.assertEqual(self.check_programs([program])[0], 0)
        program["fail"]["cat"] = "overlap"
        self.assertEqual(self.check_programs([program])[0], 1)

    def test_what_is_pytorch_s_own_fault_is_left_out(self):
        program = next(p for p in self.programs() if "fail" in p)
        program["fail"]["cat"] = "torch_bug"
        self.assertEqual(self.check_programs([program])[:2], (0, "0 passed, 0 failed, 0 skipped"))

    def test_a_malformed_line_is_an_error_and_the_others_are_run(self):
        good = json.dumps(next(p for p in self.programs() if "fail" not in p and "hook_inplace" not in p))
        for line in ("{", "[]", "nonsense", '{"id":1} x'):
            path = self.write("programs.jsonl", good + "\n" + line + "\n" + good + "\n")
            self.assertEqual(self.run_tool("--programs", path)[:2], (2, "2 passed, 0 failed, 0 skipped"))

    def test_programs_with_anything_anywhere_are_survived(self):
        rng = random.Random(2)
        programs = self.programs()
        altered = []
        for _ in range(4 * FUZZ):
            program = copy.deepcopy(rng.choice(programs))
            for _ in range(rng.randrange(1, 4)):
                alter_somewhere(program, rng)
            altered.append(program)
        self.check_programs(altered)

    # ---- calls that are refused ----

    def test_a_call_that_goes_through_is_noticed(self):
        tensor = {"t": "tensor", "dtype": "float32", "shape": [2], "requires_grad": False, "data": [1.0, 2.0]}
        text = {"torch": {"text": "?"}}
        good = dict(text, op="add", k=0, call=[tensor, dict(tensor, shape=[3], data=[1.0, 2.0, 3.0])], kwargs={})
        bad = dict(text, op="add", k=1, call=[tensor, tensor], kwargs={})
        path = self.write("refused.json", json.dumps([good]))
        self.assertEqual(self.run_tool("--errors", path)[:2], (0, "1 passed, 0 failed, 0 skipped"))
        path = self.write("refused.json", json.dumps([good, bad, dict(good, op="subtrahend")]))
        self.assertEqual(self.run_tool("--errors", path)[:2], (1, "1 passed, 1 failed, 1 skipped"))


def names_used(case):
    """The tensors that a case is compared with or computed from."""
    names = [case["out"]["id"]]
    for key in ("cot", "grad", "cot2", "ggrad", "ref", "gref"):
        names += [name for name in case.get(key, {}).values() if name]
    return names


ANYTHING = [None, True, 0, -1, 1 << 40, -(1 << 63), 1e308, 0.5, "", "in_0", "tensor", "float64", [], [1, 2, 3], [[[]]], {}, {"t": "tensor"}]


def alter_somewhere(value, rng):
    """Puts anything somewhere into a list or an object, or takes something out."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], (dict, list)) and value[key] and rng.random() < 0.8:
            value = value[key]
            continue
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = copy.deepcopy(rng.choice(ANYTHING))
        return


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
