"""The mutants of gradients that a kernel computes: what a function called ..._backward or ..._back_cpu computes, adds up
or stores.

Of each such value (each branch of a ?:) the other sign and twice as much, and each term of its sums dropped. Kernels
that only move or add numbers store no formula; their results are what the mutants of functions.py change.
"""
import re

from .functions import branches
from .mutant import Mutant, closing, end_of_expression, line_of, one_line, spans_between_commas, without_comments

KERNEL = re.compile(r"^static \w+ (?:REAL\()?(\w+(?:_backward|_back_cpu))\)?\(([^;{}()]*)\)\s*\{", re.M)
STORE = re.compile(r"(?:\bREAL\(store_some\)|\bput)(?=\()")
COMPUTED = re.compile(r"^\s+(?:const (?:vec|real|double) \w+ =|\w+ \+=)", re.M)
NO_FORMULA = re.compile(r"\w+|REAL\(\w+\)\([^()]*\)")  # a name, a load, a total


def values(text, start, end):
    """The spans of what the function body there computes; each declarator of a list stands for itself."""
    for m in STORE.finditer(text, start, end):
        arguments = spans_between_commas(text, m.end() + 1, closing(text, m.end()))
        yield arguments[2 if m.group() == "put" else 1]
    for m in COMPUTED.finditer(text, start, end):
        yield m.end(), end_of_expression(text, m.end(), ";,")


def sums(text, start, end):
    """(left, right) spans of each sum or difference; not those in an index or among several arguments."""
    depth = 0
    for i in range(start, end):
        if text[i] in "([":
            last = closing(text, i)
            if depth == 0 and text[i] == "(" and end_of_expression(text, i + 1, ",") == last:
                yield from sums(text, i + 1, last)
            depth += 1
        elif text[i] in ")]":
            depth -= 1
        elif depth == 0 and text[i] in "+-" and text[i + 1] == " " and re.search(r"[\w)\]] $", text[start:i]):
            yield (start, i), (i + 1, end)


def changes(text, start, end):
    """(kind, the mutated value) of the value there."""
    piece = text[start:end]
    yield "sign", f"-({piece})"
    yield "factor", f"2 * ({piece})"
    for left, right in sums(text, start, end):
        minus = text[left[1]] == "-"
        yield "term", text[start:left[0]] + text[slice(*left)].strip() + text[right[1]:end]
        yield "term", f"{text[start:left[0]]}{'-' if minus else ''}({text[slice(*right)].strip()}){text[right[1]:end]}"


def mutants(root):
    """The mutants, and for each file its values: (span, mutants with what they compute)."""
    found, edits = [], {}
    for path in sorted([*(root / "ops").glob("*.c"), *(root / "ops/cpu").glob("*.[ch]")]):
        text = path.read_text()
        clean = without_comments(text)
        name = str(path.relative_to(root))
        for kernel in KERNEL.finditer(clean):
            if "ag_gradients *" in kernel.group(2):
                continue
            body = kernel.end() - 1, closing(clean, kernel.end() - 1)
            ops = [path.stem.removesuffix("_template")]
            leaves = sorted({leaf for v in values(clean, *body) for leaf in branches(clean, *v)})
            for span in (leaf for leaf in leaves if not NO_FORMULA.fullmatch(clean[slice(*leaf)])):
                made = [(Mutant(kind, ops, name, line_of(clean, span[0]), kernel.group(1),
                                f"{one_line(clean[slice(*span)])} := {one_line(mutated)}"), mutated)
                        for kind, mutated in changes(clean, *span)]
                found += [m for m, _ in made]
                edits.setdefault(name, []).append((span, made))
    return found, edits


def insertions(edits):
    """A choice in the place of each value: (start, end, what comes before, what comes after)."""
    for (start, end), made in edits:
        yield start, end, "(" + "".join(f"ag__mutant_is({m.number}) ? {mutated} : " for m, mutated in made) + "(", "))"
