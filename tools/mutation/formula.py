"""The expressions of ops/pointwise.def as trees, whose nodes know where in the text they stand."""
from dataclasses import dataclass
import re

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|(<=|>=|==|!=|[-+*/<>(),]))")


@dataclass
class Node:
    kind: str  # number, name, call, neg, brackets, or an operator
    start: int
    end: int
    name: str = ""
    children: tuple = ()


class Reader:
    """The grammar is that of ops/pointwise_formula.c."""

    def __init__(self, text):
        self.text = text
        self.tokens = []
        at = 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f"cannot read {text!r} from {text[at:]!r}")
            k = found.lastindex
            self.tokens.append((("number", "name", "sign")[k - 1], found.group(k), found.start(k), found.end(k)))
            at = found.end()
        self.at = 0

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, *signs):
        if self.peek() in signs:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def read(self):
        node = self.comparison()
        if self.at != len(self.tokens):
            raise ValueError(f"cannot read {self.text!r} from {self.peek()!r}")
        return node

    def chain(self, operand, *signs):
        node = operand()
        while sign := self.take(*signs):
            right = operand()
            node = Node(sign[1], node.start, right.end, children=(node, right))
        return node

    def comparison(self):
        return self.chain(self.sum, "<", "<=", ">", ">=", "==", "!=")

    def sum(self):
        return self.chain(self.product, "+", "-")

    def product(self):
        return self.chain(self.unary, "*", "/")

    def unary(self):
        if sign := self.take("-"):
            operand = self.unary()
            return Node("neg", sign[2], operand.end, children=(operand,))
        if bracket := self.take("("):
            inner = self.comparison()
            return Node("brackets", bracket[2], self.take(")")[3], children=(inner,))
        kind, text, start, end = self.tokens[self.at]
        self.at += 1
        if kind == "number" or not self.take("("):
            return Node(kind, start, end, text)
        children = [self.comparison()]
        while self.take(","):
            children.append(self.comparison())
        return Node("call", start, self.take(")")[3], text, tuple(children))


def read(text):
    return Reader(text).read()


def each(node, parent=None):
    """Every node, with the one that it stands in."""
    yield node, parent or node
    for child in node.children:
        yield from each(child, node)


def results(node):
    """The parts that can be the result: the branches of select and given."""
    if node.kind == "brackets":
        return results(node.children[0])
    if node.kind == "call" and node.name in ("select", "given"):
        return results(node.children[1]) + results(node.children[2])
    return [node]


def is_constant(node):
    return all(n.kind != "name" for n, _ in each(node))


def substitute(text, values):
    """The text with other texts for some of its names."""
    return re.sub(r"[A-Za-z_]\w*", lambda m: values.get(m.group(), m.group()), text)
