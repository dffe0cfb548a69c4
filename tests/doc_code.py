#!/usr/bin/env python3
"""Every C block in the documentation is code that the build compiles: doc_code.py ROOT

The lines of a block (```c) in README.md, CONTRIBUTING.md and docs/*.md must stand one after the other in one of the
sources, however deep they are indented there; blanks that align columns count as one. A line of the block that is only
"..." stands for lines left out. Says which blocks do not, and fails.
"""

import glob
import os
import re
import sys

PAGES = ["README.md", "CONTRIBUTING.md", "docs/*.md"]
SOURCES = ["%s/**/*.[ch]" % folder for folder in "tensor autograd ops nn optim datasets examples docs/code".split()]
SOURCES += ["ops/**/*.def"]


def indent_of(lines):
    return min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)


def dedented(lines):
    indent = indent_of(lines)
    return [re.sub(r"(?<=\S)\s+", " ", line[indent:].rstrip()) for line in lines]


def blocks(page):
    """(number of the first line, lines) of each C block."""
    found, block = [], None
    for number, line in enumerate(page, 1):
        if block is None and line.strip() == "```c":
            block = (number + 1, [])
        elif block is not None and line.strip() == "```":
            found.append(block)
            block = None
        elif block is not None:
            block[1].append(line)
    return found


def parts(lines):
    """The runs of lines between those that say "..."."""
    runs = [[]]
    for line in lines:
        if line.strip() == "...":
            runs.append([])
        else:
            runs[-1].append(line)
    return [run for run in runs if any(line.strip() for line in run)]


def trimmed(lines):
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def find(run, source, start):
    """Where `run` ends in `source` at or after `start`; None if it is not there."""
    run = dedented(trimmed(run))
    for at in range(start, len(source) - len(run) + 1):
        if dedented(source[at : at + len(run)]) == run:
            return at + len(run)
    return None


def stands_in(block, source):
    at = 0
    for run in parts(block):
        at = find(run, source, at)
        if at is None:
            return False
    return True


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def main(root):
    def matching(patterns):
        return sorted(path for pattern in patterns for path in glob.glob(os.path.join(root, pattern), recursive=True))

    sources = [lines_of(path) for path in matching(SOURCES)]
    total = failed = 0
    for page in matching(PAGES):
        for number, block in blocks(lines_of(page)):
            total += 1
            if not any(stands_in(block, source) for source in sources):
                failed += 1
                print(f"{os.path.relpath(page, root)}:{number}: this is in no source that the build compiles:")
                print("\n".join("    " + line for line in block))
    print(f"{total} blocks, {failed} of them nowhere")
    return 1 if failed or total == 0 else 0


sys.exit(main(sys.argv[1]))
