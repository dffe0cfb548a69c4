"""The mutants of the rows in ops/pointwise.def.

Of each derivative: each of its results (the branches of select and given) with the other sign and twice; each term of
a sum or difference dropped; each operand that it reads replaced by each other operand of the row; and the last two in
the body of each of the file's own abbreviations that it uses. In the scratch copy each is one more expression, which
AG_MUTANT puts in the place of the row's own.
"""
import re

from . import formula
from .mutant import Mutant, closing, line_of, one_line, spans_between_commas, without_comments

FILE = "ops/pointwise.def"
ROW = re.compile(r"^(UNARY|BINARY|TERNARY|WHERE)(_WITH|_HIDDEN)?\s*\(", re.M)
# a row's shape: the operands that are like its result, and its derivatives; five columns come before those
SHAPES = {
    "UNARY": ("xy", ["dx"]),
    "BINARY": ("aby", ["da", "db"]),
    "TERNARY": ("abcy", ["da", "db", "dc"]),
    "WHERE": ("aby", ["da", "db"]),
}
PARTS = ["dA", "dB", "dC"]
COLUMNS = 5


def macros_of(text):
    """The file's own abbreviations: name: (parameters or None, body)."""
    found = {}
    for m in re.finditer(r"^#define (\w+)(\(([^)]*)\))?[ \t]+((?:\\\n|[^\n])*)$", text, re.M):
        parameters = [p.strip() for p in m.group(3).split(",")] if m.group(2) else None
        found[m.group(1)] = (parameters, one_line(m.group(4).replace("\\\n", " ")))
    return found


def argument_list(shape, form, op):
    """As ops/pointwise_parts.h has it."""
    if form:
        return f"AG_ARGS_{op}"
    return {
        "UNARY": "AG_ROW_INPUT",
        "BINARY": f"AG_ROW_LIST({op}, AG_ROW_INPUT_OTHER)",
        "TERNARY": "AG_ROW_LERP",
        "WHERE": "AG_ROW_WHERE",
    }[shape]


def changed_inside(text, operands):
    """(kind, start, end, what stands there instead, the same as one reads it) for sums and operands."""
    for node, parent in formula.each(formula.read(text)):

        def of(n):
            return text[n.start:n.end]

        if node.kind in "+-" and len(node.children) == 2:
            left, right = node.children
            for rest in (of(left), of(right) if node.kind == "+" else f"-({of(right)})"):
                yield "term", node.start, node.end, f"({rest})", f"{of(node)} := {rest}"
        if node.kind == "name" and node.name in operands:
            if parent.name in ("select", "given"):
                parent = node
            for other in operands.replace(node.name, ""):
                seen = text[parent.start:node.start] + other + text[node.end:parent.end]
                yield "saved", node.start, node.end, other, f"{of(parent)} := {seen}"


def changes(text, operands, macros):
    """(kind, mutated text, the change as one reads it) of a derivative."""
    root = formula.read(text)
    for node in formula.results(root):
        piece = text[node.start:node.end]
        for kind, instead in (("sign", f"-({piece})"), ("factor", f"2 * ({piece})")):
            if not formula.is_constant(node):
                yield kind, f"{text[:node.start]}({instead}){text[node.end:]}", f"{piece} := {instead}"
    for kind, start, end, instead, seen in changed_inside(text, operands):
        yield kind, text[:start] + instead + text[end:], seen
    for node, _ in formula.each(root):
        parameters, body = macros.get(node.name, (None, ""))
        if not parameters:
            continue
        values = dict(zip(parameters, (f"({text[c.start:c.end]})" for c in node.children)))
        for kind, start, end, instead, seen in changed_inside(body, operands):
            whole = formula.substitute(body[:start] + instead + body[end:], values)
            yield kind, text[:node.start] + whole + text[node.end:], f"in {text[node.start:node.end]}, {seen}"


def mutants(root):
    text = (root / FILE).read_text()
    clean = without_comments(text)
    macros = macros_of(clean)
    found = []
    for row in ROW.finditer(clean):
        shape, form = row.group(1), row.group(2)
        operands, names = SHAPES[shape]
        spans = spans_between_commas(clean, row.end(), closing(clean, row.end() - 1))
        op = clean[slice(*spans[0])]
        for name, part, span in zip(names, PARTS, spans[COLUMNS:]):
            derivative = one_line(clean[slice(*span)])
            for kind, mutated, seen in changes(derivative, operands, macros):
                found.append(Mutant(kind, [op], FILE, line_of(clean, span[0]), f"{op} {name}", seen,
                                    expression=(op, part, argument_list(shape, form, op), mutated)))
    return found


def mutate(text, found):
    """The file with the mutants' expressions after its rows."""
    lines = "".join("DERIVATIVE(m{}, {}, {}, {})\n".format(m.number, m.expression[1], m.expression[2], m.expression[3])
                    for m in found)
    at = text.index("#undef")
    return text[:at] + lines + text[at:]
