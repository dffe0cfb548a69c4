"""Tests of tools/mutate and tools/mutate-kernels: what a program starts ends with it.

Usage: mutation.py
"""
from pathlib import Path
import sys
import tempfile
import unittest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
sys.dont_write_bytecode = True
from mutation import session  # noqa: E402

# As Check does it: a suite waits for its test, which is in a group of its own. Each writes its number first.
SUITE = """
import os, sys, time
file, how = sys.argv[1:]
test = os.fork()
if not test:
    os.setpgid(0, 0)
with open(file, "a") as noted:
    print(os.getpid(), file=noted)
while len(open(file).readlines()) < 2 or how == "hangs" and not test:
    pass
if how == "hangs" or how == "waits" or how == "leaves" and not test:
    time.sleep(600)
"""


class Finish(unittest.TestCase):
    def suite(self, how, limit):
        """The status of such a suite, and its processes."""
        with tempfile.TemporaryDirectory() as place:
            noted = Path(place, "processes")
            status = session.finish([sys.executable, "-c", SUITE, noted, how], {}, limit)
            return status, [int(word) for word in noted.read_text().split()]

    def none_left(self, processes):
        self.assertEqual(len(processes), 2)
        for process in processes:
            try:
                state = Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            self.assertIn(state, "ZX", f"{process} is still there")

    def test_status(self):
        self.assertEqual(session.finish(["true"], {}, 60), 0)
        self.assertEqual(session.finish(["sh", "-c", "exit $N"], {"N": "3"}, 60), 3)

    def test_in_time(self):
        status, processes = self.suite("ends", 60)
        self.assertEqual(status, 0)
        self.none_left(processes)

    def test_out_of_time(self):
        for how in ("hangs", "waits"):
            status, processes = self.suite(how, 6)
            self.assertIsNone(status)
            self.none_left(processes)

    def test_left_behind(self):
        status, processes = self.suite("leaves", 60)
        self.assertEqual(status, 0)
        self.none_left(processes)

    def test_processor_time(self):
        limit = "import resource, sys; sys.exit(resource.getrlimit(resource.RLIMIT_CPU)[0])"
        self.assertEqual(session.finish([sys.executable, "-c", limit], {}, 60), 61)


if __name__ == "__main__":
    unittest.main()
