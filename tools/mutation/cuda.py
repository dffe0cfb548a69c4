"""The mutants of a CUDA kernel's source: small wrong changes, found by the layout that .clang-format gives (a binary
operator stands between spaces, nothing else does)."""
from dataclasses import dataclass
import re


@dataclass
class KernelMutant:
    file: str
    line: int
    kind: str
    start: int
    end: int
    after: str
    before: str
    context: str  # the line, with its spaces made one
    turn: int  # which of the places of the file where the same is changed in the same context

    def key(self):
        again = f" #{self.turn}" if self.turn > 1 else ""
        return f"{self.file}: {self.before} -> {self.after or 'nothing'}{again} in {self.context}"

    def apply(self, text):
        return text[:self.start] + self.after + text[self.end:]


COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=", "&": "|",
              "<<": ">>", ">>": "<<"}
SWAPPED = {**COMPARISONS, **ARITHMETIC}
BARRIER = re.compile(r"__sync(?:threads|warp)\([^()]*\);")
OPERATOR = re.compile(r"(?<= )(" + "|".join(re.escape(o) for o in sorted(SWAPPED, key=len, reverse=True)) + r")(?= )")
NUMBER = re.compile(r"(?<=[\s(\[])\d+(?=[\s);,\]])")
SUBSCRIPT = re.compile(r"(?<=[\w)])\[([^\[\]]+)\]")
DECLARATION = re.compile(r"^\s*(?:(?:const|static|constexpr|typedef|unsigned|extern)\s)*[\w:<>]+ (?:const )?\**(?:const )?\w+\[")
HIDDEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*""", re.S | re.M)
# Not the kernel's doing: instantiations, what a macro of launch.h wants, checks at compile time.
SET_ASIDE = re.compile(r"^\s*(?:template\b|typedef\b|case\b|static_assert\b|enum\b|using\b|SHARED\b)")


def visible(text):
    """The text with comments, strings and what is the preprocessor's made blank, of the same length."""
    return HIDDEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def places(code):
    """(kind, start, end, after) of each change."""
    for m in BARRIER.finditer(code):
        yield "barrier", m.start(), m.end(), ""
    for m in OPERATOR.finditer(code):
        kind = "comparison" if m.group() in COMPARISONS else "arithmetic"
        yield kind, m.start(), m.end(), SWAPPED[m.group()]
    for m in NUMBER.finditer(code):
        yield "number", m.start(), m.end(), str(int(m.group()) + 1)
    for m in SUBSCRIPT.finditer(code):
        yield "index", m.start(1), m.end(1), f"{m.group(1)} + 1"


def mutants(name, text):
    """Those of the file `name`, in its order."""
    code, found, turns = visible(text), [], {}
    for kind, start, end, after in sorted(places(code), key=lambda p: p[1:3]):
        begin = code.rfind("\n", 0, start) + 1
        line = code[begin:code.find("\n", start)]
        if SET_ASIDE.match(line) or (kind == "number" and "LAUNCH(" in line):
            continue
        if kind == "index" and (text[start:end].isdigit() or DECLARATION.match(line[:start - begin])):
            continue  # of the first the number is changed, the second is a size
        context, before = " ".join(line.split()), text[start:end]
        turn = turns[context, before, after] = turns.get((context, before, after), 0) + 1
        found.append(KernelMutant(name, text.count("\n", 0, start) + 1, kind, start, end, after, before, context, turn))
    return found
