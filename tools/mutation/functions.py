"""The mutants of the backward functions in C.

A backward function is one that takes an ag_gradients; the functions of its file that it calls, and that return a
Variable, belong to it. Of each Variable that they compute (assigned to b->grad[i] or to a local, or returned; each
branch of a ?:) the other sign and twice as much; of ag_add and ag_sub each term dropped; each saved Variable
(b->in[i], b->out[k], a->name) replaced by each other input or output of the op. A mutant is a call of mutants.h round
the expression, so one build holds them all.
"""
from dataclasses import dataclass
import re

from .mutant import (Mutant, closing, end_of_expression, line_of, one_line, spans_between_commas, trimmed,
                     without_comments)

FOLDERS = ("ops", "nn", "autograd", "optim")
FUNCTION = re.compile(r"^((?:static |inline )*[\w ]+?[ *]+)(\w+)\(([^;{}()]*(?:\([^()]*\)[^;{}()]*)*)\)\s*\{", re.M)
RECORD = re.compile(r"\bAG_(?:OP|OP_LIST|OP_PLAIN|RECORD)\(\s*(\w+)\s*,")
LIST = re.compile(r"^#define AG_ARGS_(\w+)\(must, may\)((?:\\\n|[^\n])*)", re.M)
ATOM = re.compile(r"\b(b->(in|out)\[(\d+)\]|(\w+)->(\w+))")
# what makes memory, to be filled later, and zeros, which are their own double and opposite
NO_VALUE = re.compile(r"ag__new\w*\(|ag__pointwise_result\(|ag_empty\w*\(|ag_zeros\w*\(|(?:NULL|AG_NONE)$")
ALIAS = re.compile(r"b->(g|in|out)\[\w+\]|\w+->\w+|\w+|&?\w+\[\w+\]")


@dataclass
class Function:
    name: str
    head: str
    returns_variable: bool
    start: int  # of the body
    end: int
    ops: set
    is_backward: bool = False  # it has an ag_gradients *b


@dataclass
class Record:
    op: str
    backward: str
    tensors: list  # the names of its Tensor arguments, in the order of the inputs
    n_out: int  # hidden ones included


@dataclass
class Edit:
    start: int
    end: int
    kind: str
    before: str  # with {n} for the mutant's number
    after: str
    change: str  # as one reads it
    keeps: int = 0
    alone: bool = True  # a mutant of its own; else the second of the edit before it


def argument_lists(texts):
    found = {}
    for text in texts:
        for m in LIST.finditer(text):
            found[m.group(1)] = re.findall(r"(?:must|may)\(\s*(\w+)\s*,\s*(\w+)", m.group(2))
    return found


def records_of(clean, lists):
    found = []
    for m in RECORD.finditer(clean):
        body = clean[m.start():closing(clean, clean.index("(", m.start()))]
        backward = re.search(r"\.backward = (\w+)", body)
        if not backward:
            continue
        counts = [int(n) for n in re.findall(r"\.(?:n_out|n_hidden) = (\d+)", body)]
        n_out = sum(counts) + (0 if re.search(r"\.n_out\b", body) else 1)
        arguments = lists.get(m.group(1), [])
        tensors = [] if any(kind == "Tensors" for kind, _ in arguments) else [n for k, n in arguments if k == "Tensor"]
        found.append(Record(m.group(1), backward.group(1), tensors, n_out))
    return found


def functions_of(clean, records):
    """Those that belong to a backward, each with the ops whose it is."""
    every = {}
    for m in FUNCTION.finditer(clean):
        start = m.end() - 1
        returns_variable = m.group(1).replace("static ", "").split() == ["ag_variable", "*"]
        every[m.group(2)] = Function(m.group(2), m.group(3), returns_variable, start, closing(clean, start), set(),
                                     "ag_gradients *" in m.group(3))
    for r in records:
        if r.backward in every:
            every[r.backward].ops.add(r.op)
    reached = [f for f in every.values() if f.is_backward]
    changed = True
    while changed:
        changed = False
        for f in list(reached):
            for name in set(re.findall(r"\b(\w+)\(", clean[f.start:f.end])):
                callee = every.get(name)
                if not callee or callee is f or not (callee.returns_variable or callee.is_backward):
                    continue
                if callee not in reached or f.ops - callee.ops:
                    callee.ops |= f.ops
                    changed = True
                    if callee not in reached:
                        reached.append(callee)
    return sorted(reached, key=lambda f: f.start)


# ---- what a function computes ----


def branches(text, start, end):
    """The spans of what a ?: can come to."""
    start, end = trimmed(text, start, end)
    ask = end_of_expression(text, start, "?")
    if ask >= end:
        return [(start, end)]
    depth, at = 1, ask + 1
    while depth:
        at = min(end_of_expression(text, at, "?"), end_of_expression(text, at, ":"))
        depth += 1 if text[at] == "?" else -1
        at += 1
    return branches(text, ask + 1, at - 1) + branches(text, at, end)


def declared(text, f):
    """The spans of what the function's own Variables begin with; and all their names."""
    spans, names = [], set(re.findall(r"ag_variable \*(\w+)", f.head))
    for m in re.finditer(r"\bag_variable (?=\*\w)", text[f.start:f.end]):
        at = f.start + m.end()
        if text[f.start + m.start() - 1] == "(":
            continue  # a cast
        while text[at] == "*" or text[at].isspace():
            name = re.match(r"([\s*]*)(\w+)\s*(=?)", text[at:])
            stop = end_of_expression(text, at, ",;")
            if name.group(1).count("*") == 1:
                names.add(name.group(2))
                spans += [(at + name.end(), stop)] if name.group(3) else []
            at = stop + 1
            if text[stop] == ";":
                break
    arrays = set(re.findall(r"ag_variable \*\*(\w+)", text[f.start:f.end]))
    return spans, names, arrays


def computed(text, f):
    """The spans of all the expressions whose value is a Variable that the function computes."""
    spans, names, arrays = declared(text, f)
    spans = [s for s in spans if not ALIAS.fullmatch(text[s[0]:s[1]].strip())]
    body = text[f.start:f.end]
    targets = [r"b->grad\[\w+\]\s*=(?!=)"]
    targets += [rf"(?<![\w>.*])(?<!\* ){name}\s*=(?!=)" for name in names]
    targets += [rf"(?<![\w>.*]){name}\[\w+\]\s*=(?!=)" for name in arrays]
    inside = declared(text, f)[0]
    for target in targets:
        for m in re.finditer(target, body):
            at = f.start + m.end()
            stop = end_of_expression(text, at, ";,")
            if not any(s[0] <= at <= s[1] for s in inside):
                spans.append((at, stop))
    if f.returns_variable:
        for m in re.finditer(r"\breturn\b", body):
            at = f.start + m.end()
            spans.append((at, end_of_expression(text, at, ";")))
    leaves = [leaf for s in spans for leaf in branches(text, *s)]
    return sorted({s for s in leaves if not NO_VALUE.match(text[s[0]:s[1]])})


def scale_edits(text, shown, f):
    for start, end in computed(text, f):
        piece = one_line(shown[start:end])
        yield Edit(start, end, "sign", "ag__mutant_scale({n}, ", ")", f"-({piece})")
        yield Edit(start, end, "factor", "", "", f"2 * ({piece})", alone=False)


def term_edits(text, shown, f):
    for m in re.finditer(r"\bag_(add|sub)\(", text[f.start:f.end]):
        bracket = f.start + m.end() - 1
        terms = spans_between_commas(text, bracket + 1, closing(text, bracket))[:2]
        for start, end in terms:
            first, last = f.start + m.start(), closing(text, bracket) + 1
            change = f"{shown[first:last]} := {shown[first:start]}0{shown[end:last]}"
            yield Edit(start, end, "term", "ag__mutant_drop({n}, ", ")", one_line(change))


# ---- what has been saved ----


def keep_in(i):
    return 1 << min(i, 7)


def keep_out(k):
    return 256 << k


def is_value(text, m):
    """The atom stands for a Variable, and is not looked into or asked whether it is there."""
    after = text[m.end():m.end() + 40].lstrip()
    before = text[:m.start()].rstrip()
    return not after.startswith(("->", "?", "[", "(", "=", "!=", "&&", "||")) and before[-1] not in "!&."


def saved_edits(text, shown, f, records):
    if not f.is_backward:
        return
    own = [r for r in records if r.op in f.ops]
    n_in = max([len(r.tensors) for r in own], default=0)
    n_out = max([r.n_out for r in own], default=0)
    structs = dict(re.findall(r"const struct ag_\w+_args \*(\w+) = (b)->args", text[f.start:f.end]))
    tensors = own[0].tensors if len(own) == 1 else []
    for m in ATOM.finditer(text, f.start, f.end):
        if not is_value(text, m):
            continue
        itself = (m.group(2), int(m.group(3))) if m.group(2) else None
        if not itself and m.group(4) in structs and m.group(5) in tensors:
            itself = ("in", tensors.index(m.group(5)))
        if not itself:
            continue
        others = [("in", i) for i in range(n_in)] + [("out", k) for k in range(n_out)]
        for which, k in others:
            if (which, k) != itself:
                keeps = keep_in(k) if which == "in" else keep_out(k)
                yield Edit(m.start(), m.end(), "saved", "ag__mutant_swap({n}, ", f", ag__mutant_{which}(b, {k}))",
                           f"b->{which}[{k}] for {m.group(1)} in {statement(shown, m.start())}", keeps)


def statement(text, at):
    """The statement round a place, or the member that it is given to, in one line."""
    start = max(text.rfind(c, 0, at) for c in ";{}")
    whole = one_line(text[start + 1:text.index(";", at)])
    if whole.startswith("."):
        whole = one_line(text[text.rindex(" .", 0, at):text.index(",", at)])
    return re.sub(r"^(?:else )?if \(b->wanted\[\w+\]\) ", "", whole)


# ---- the file ----


def edits_of(text, shown, f, records):
    return [*scale_edits(text, shown, f), *term_edits(text, shown, f), *saved_edits(text, shown, f, records)]


def mutants(root):
    """The mutants, and for each file the edits (edit, mutant) that put them in."""
    paths = [p for folder in FOLDERS for p in sorted((root / folder).glob("*.[ch]"))]
    texts = {p: p.read_text() for p in paths}
    lists = argument_lists(texts.values())
    found, edits = [], {}
    for path, text in texts.items():
        if path.suffix != ".c" or "ag_gradients *" not in text:
            continue
        name = str(path.relative_to(root))
        clean, shown = without_comments(text), without_comments(text, strings=False)
        records = records_of(clean, lists)
        for f in functions_of(clean, records):
            for e in edits_of(clean, shown, f, records):
                m = Mutant(e.kind, sorted(f.ops), name, line_of(clean, e.start), f.name, e.change, keeps=e.keeps)
                found.append(m)
                edits.setdefault(name, []).append((e, m))
    return found, edits


def insertions(edits):
    """The calls round each expression: (start, end, what comes before, what comes after)."""
    for e, m in edits:
        if e.alone:
            yield e.start, e.end, e.before.format(n=m.number), e.after
