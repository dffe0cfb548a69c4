#!/usr/bin/env python3
"""mnist_cuda.py PROGRAM: the example mnist_cnn on a CUDA device, on a small data set: its losses are those on the CPU."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

import synthetic_mnist

PROGRAM = sys.argv.pop(1)
STEPS, BATCH, SHORT = 9, 8, 5  # the last batch is short: a captured step cannot be replayed with it


class OnCuda(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        synthetic_mnist.write(self.path("data"), n_train=(STEPS - 1) * BATCH + SHORT, n_test=20)

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def train(self, device, dtype, *more):
        """The losses, and the accuracy that is printed."""
        command = [PROGRAM, "--data", self.path("data"), "--device", device, "--dtype", dtype, "--epochs", "1",
                   "--batch-size", str(BATCH), "--lr", "0.1", "--log", self.path("log"), "--quiet", *more]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(self.path("log"), encoding="utf-8") as file:
            losses = [float(line.split()[1]) for line in file]
        return losses, re.search(r"test images: ([\d.]+) %", done.stdout).group(1)

    def compare(self, dtype, tolerance):
        here, there = self.train("cpu", dtype, "--dropout", "0"), self.train("cuda", dtype, "--dropout", "0")
        self.assertEqual(len(there[0]), STEPS)
        self.assertNotEqual(here[0][0], here[0][-1])
        for a, b in zip(here[0], there[0]):
            self.assertLessEqual(abs(a - b), tolerance * max(1, abs(a)))
        self.assertEqual(here[1], there[1])

    def test_float64(self):
        self.compare("float64", 1e-9)

    def test_float32(self):
        self.compare("float32", 1e-5)

    def test_captured_steps_are_those_op_by_op(self):
        for dtype in ("float32", "float64"):
            self.assertEqual(self.train("cuda", dtype, "--graph"), self.train("cuda", dtype, "--no-graph"))

    def test_dropout_draws_on_the_device_what_the_seed_says(self):
        first, again, other = (self.train("cuda", "float32", "--seed", seed)[0] for seed in ("3", "3", "4"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)


if __name__ == "__main__":
    unittest.main()
