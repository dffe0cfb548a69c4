#!/usr/bin/env python3
"""The tests that docs/contract.md and docs/test-autograd.md name are there: doc_tests.py ROOT

A name of a test is what stands between backquotes in these pages, is one word of at least three underscores and begins
neither with ag_ (the library's) nor with test_ (PyTorch's).
Says which of them no suite in tests/ has, which rows' tests docs/contract.md leaves out, and fails.
"""

import glob
import os
import re
import sys

PAGES = ["docs/contract.md", "docs/test-autograd.md"]


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def named(page):
    return {word for word in re.findall(r"`(\w+)`", page) if word.count("_") >= 3 and not word.startswith(("ag_", "test_"))}


def main():
    root = sys.argv[1]
    suites = {path: text_of(path) for path in glob.glob(os.path.join(root, "tests", "test_*.c"))}
    there = {name for suite in suites.values() for name in re.findall(r"START_TEST\(\s*(\w+)\)", suite)}
    rows = {name for path, suite in suites.items() if os.path.basename(path).startswith("test_contract_")
            for name in re.findall(r"START_TEST\(\s*(\w+)\)", suite)}
    wrong = []
    for page in PAGES:
        wrong += ["%s: no suite has %s" % (page, name) for name in sorted(named(text_of(os.path.join(root, page))) - there)]
    contract = named(text_of(os.path.join(root, PAGES[0])))
    wrong += ["%s does not name %s" % (PAGES[0], name) for name in sorted(rows - contract)]
    print("\n".join(wrong + ["%d tests named, %d wrong" % (len(contract), len(wrong))]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
