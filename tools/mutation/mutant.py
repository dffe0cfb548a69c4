"""What a mutant is, and small readings of C that both kinds of sources need."""
from dataclasses import dataclass
import re


@dataclass
class Mutant:
    """One change of one derivative. In the scratch build it is there under its number, and AG_MUTANT=number makes it so."""

    kind: str  # sign, factor, term or saved
    ops: list  # those whose derivative it is
    file: str
    line: int
    where: str  # the function or the derivative
    change: str  # as one reads it
    number: int = 0
    expression: tuple = ()  # of a row: (op, dA, argument list, the mutated text)
    keeps: int = 0  # what backward must have kept for a saved value to stand for another, as in ag_op's .keeps
    twin: int = 1  # which of several mutants that read alike

    def key(self):
        """Its name in tools/mutants.txt: no line number, which would change with every edit above it."""
        again = f" ({self.twin})" if self.twin > 1 else ""
        return f"{self.file} {self.where}: {self.change}{again}"


def number(mutants):
    """Gives numbers from 1, and tells those apart that read alike."""
    met = {}
    for n, m in enumerate(mutants, 1):
        m.number = n
        m.twin = 1
        key = m.key()
        met[key] = m.twin = met.get(key, 0) + 1
    return mutants


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


def without_comments(text, strings=True):
    """The same text at the same places, with blanks for comments (and for what stands in strings)."""
    pattern = r'/\*.*?\*/|//[^\n]*' + (r'|"(?:\\.|[^"\\\n])*"' if strings else "")
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def closing(text, at):
    """Where the bracket that opens at `at` closes."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    depth = 0
    for i in range(at, len(text)):
        if text[i] in pairs:
            depth += 1
        elif text[i] in pairs.values():
            depth -= 1
            if depth == 0:
                return i
    raise ValueError(f"a bracket is not closed: {text[at:at + 60]!r}")


def end_of_expression(text, at, stops):
    """The first of the characters `stops` from `at` on that stands in no bracket."""
    depth = 0
    for i in range(at, len(text)):
        if depth == 0 and text[i] in stops:
            return i
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth < 0:
                return i
    return len(text)


def spans_between_commas(text, start, end):
    """The spans of a list's items, without the blanks around them."""
    spans, at = [], start
    while at <= end:
        stop = min(end_of_expression(text, at, ","), end)
        spans.append(trimmed(text, at, stop))
        at = stop + 1
    return spans


def trimmed(text, start, end):
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def insert(text, insertions):
    """The text with (start, end, before, after) put round its spans, which may lie in one another; all on their lines."""
    pieces = []  # (place, order, piece): at one place what ends comes first, inner spans before outer ones
    for k, (start, end, before, after) in enumerate(insertions):
        pieces.append((start, (1, start - end, -k), before))
        pieces.append((end, (0, end - start, k), after))
    out, at = "", 0
    for place, _, piece in sorted(pieces):
        out += text[at:place] + piece
        at = place
    return out + text[at:]
