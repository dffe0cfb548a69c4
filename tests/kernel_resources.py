"""Tests of tools/kernel-resources: what it makes of the compiler's report."""
from importlib.machinery import SourceFileLoader
import importlib.util
from pathlib import Path
import sys
import unittest

sys.dont_write_bytecode = True
path = Path(__file__).resolve().parent.parent / "tools/kernel-resources"
spec = importlib.util.spec_from_loader("kernel_resources", SourceFileLoader("kernel_resources", str(path)))
tool = importlib.util.module_from_spec(spec)
sys.modules["kernel_resources"] = tool
spec.loader.exec_module(tool)

REPORT = """ptxas info    : 24 bytes gmem
ptxas info    : Compiling entry function '_Z1aPf' for 'sm_90'
ptxas info    : Function properties for _Z1aPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compiling entry function '_Z1bPf' for 'sm_80'
ptxas info    : Function properties for _Z1bPf
    16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Function properties for _Z1fPf
    40 bytes stack frame, 0 bytes spill stores, 2 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 16 bytes cumulative stack size
"""


class Report(unittest.TestCase):
    def test_kernels(self):
        a, b = tool.kernels_of("cuda/x.cu", REPORT)
        self.assertEqual(a, tool.Kernel("cuda/x.cu", "_Z1aPf", "sm_90", registers=32, shared=1024, stack=0, spilled=0))
        self.assertEqual(b, tool.Kernel("cuda/x.cu", "_Z1bPf", "sm_80", registers=255, shared=0, stack=40, spilled=14))

    def test_row(self):
        kernels = tool.kernels_of("cuda/x.cu", REPORT)
        self.assertEqual(tool.row("all", kernels).split(), ["all", "2", "32-255", "0-1024", "40", "14"])
        self.assertEqual(tool.row("one", kernels[:1]).split(), ["one", "1", "32", "1024", "0", "0"])


if __name__ == "__main__":
    unittest.main()
