#!/usr/bin/env python3
"""Writes a file with Python's safetensors: tests/data/reference.safetensors, which tests/test_safetensors_load.c reads and
tests/test_safetensors_save.c writes, byte for byte.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install safetensors numpy
    /tmp/venv/bin/python tools/record-safetensors.py
"""

import os

import numpy
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))

# In the order in which the reference writes them: by type, then by name.
TENSORS = {
    "whole": numpy.array([[1, -2, 3], [4, 5, 2**62]], dtype=numpy.int64),
    "layer.0.weight": numpy.array([[0.5], [-0.25], [1e300]], dtype=numpy.float64),
    "none": numpy.zeros((2, 0, 3), dtype=numpy.float64),
    "number": numpy.array(numpy.nan, dtype=numpy.float32),
    'quote " \\ / \t\n\x01\x7f \u00e9\u4e2d\U0001f600': numpy.array([1.5, -0.0, numpy.inf], dtype=numpy.float32),
    "small": numpy.array([-(2**31), 7], dtype=numpy.int32),
    "bytes": numpy.array([0, 1, 255], dtype=numpy.uint8),
    "flags": numpy.array([[True, False]], dtype=numpy.bool_),
}

if __name__ == "__main__":
    save_file(TENSORS, os.path.join(HERE, "..", "tests", "data", "reference.safetensors"), metadata={"format": "np \u00e9"})
