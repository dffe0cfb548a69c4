#!/usr/bin/env python3
"""Makes random autograd programs and records what PyTorch answers, or that it refuses, for build/tools/ag-conformance --programs.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.13.0 numpy
    /tmp/venv/bin/python tools/record-programs.py FILE.jsonl --count 100000 --seed 7
    /tmp/venv/bin/python tools/record-programs.py tests/data/conformance/programs.jsonl --count 500 --seed 1     what tools/test runs

A program is an object on a line: views, in-place changes, no_grad, detach, hooks, retain_grad, several roots, a second walk, a second
order. docs/conformance.md says what stands in it. The same seed makes the same programs wherever PyTorch answers the same.
"""

import argparse
import collections
import json
import math
import random
import sys

import torch

LARGEST = 48  # elements of a register
SHAPES = [[3], [2, 3], [3, 2], [2, 2], [1], [], [2, 1, 3], [3, 3], [1, 3]]

# ---- what an instruction is ----

# Instructions that are a function or a method of the operands and no more.
METHODS = "exp sin cos tanh sigmoid relu abs neg flatten squeeze detach clone contiguous diagonal".split()
CHANGES = "exp_ sin_ tanh_ sigmoid_ relu_ neg_ zero_ detach_".split()
PAIRS = "add sub mul maximum".split()
PAIR_CHANGES = "add_ sub_ mul_ copy_".split()

CALLS = {
    "square": lambda x, a: x[0].pow(2),
    "square_": lambda x, a: x[0].pow_(2),
    "reciprocal_p": lambda x, a: 1 / (x[0] * x[0] + 1),
    "log_p": lambda x, a: torch.log(x[0] * x[0] + 1),
    "sqrt_p": lambda x, a: torch.sqrt(x[0] * x[0] + 1),
    "div_p": lambda x, a: x[0] / (x[1] * x[1] + 1),
    "softmax": lambda x, a: torch.softmax(x[0], a["dim"]),
    "cumsum": lambda x, a: x[0].cumsum(a["dim"]),
    "cumsum_": lambda x, a: x[0].cumsum_(a["dim"]),
    "clamp_": lambda x, a: x[0].clamp_(-0.5, 0.5),
    "where": lambda x, a: torch.where(x[0] > 0, x[0], x[1]),
    "adds": lambda x, a: x[0] + a["s"],
    "muls": lambda x, a: x[0] * a["s"],
    "adds_": lambda x, a: x[0].add_(a["s"]),
    "muls_": lambda x, a: x[0].mul_(a["s"]),
    "fill_": lambda x, a: x[0].fill_(a["s"]),
    "addcmul_": lambda x, a: x[0].addcmul_(x[1], x[2], value=a["s"]),
    "masked_fill": lambda x, a: x[0].masked_fill(x[0] > 0, a["s"]),
    "masked_fill_": lambda x, a: x[0].masked_fill_(x[1] > 0, a["s"]),
    "matmul": lambda x, a: x[0] @ x[1],
    "sum": lambda x, a: x[0].sum(a["dim"], keepdim=a["keep"]),
    "mean": lambda x, a: x[0].mean(a["dim"], keepdim=a["keep"]),
    "amax": lambda x, a: x[0].amax(a["dim"], keepdim=a["keep"]),
    "logsumexp": lambda x, a: x[0].logsumexp(a["dim"], keepdim=a["keep"]),
    "sum_all": lambda x, a: x[0].sum(),
    "mean_all": lambda x, a: x[0].mean(),
    "max_dim": lambda x, a: x[0].max(a["dim"])[0],
    "transpose": lambda x, a: x[0].transpose(a["d0"], a["d1"]),
    "unsqueeze": lambda x, a: x[0].unsqueeze(a["dim"]),
    "narrow": lambda x, a: x[0].narrow(a["dim"], a["start"], a["len"]),
    "select": lambda x, a: x[0].select(a["dim"], a["i"]),
    "step": lambda x, a: x[0][:: a["s"]],
    "expand": lambda x, a: x[0].expand(a["shape"]),
    "view": lambda x, a: x[0].view(a["shape"]),
    "reshape": lambda x, a: x[0].reshape(a["shape"]),
    "chunk": lambda x, a: x[0].chunk(a["n"], a["dim"]),
    "unbind": lambda x, a: x[0].unbind(a["dim"]),
    "flip0": lambda x, a: x[0].flip(0),
    "cat": lambda x, a: torch.cat(x, a["dim"]),
    "stack": lambda x, a: torch.stack(x, a["dim"]),
    "index_select": lambda x, a: x[0].index_select(a["dim"], torch.tensor(a["i"])),
    "index_add_": lambda x, a: x[0].index_add_(a["dim"], torch.tensor(a["i"]), x[1]),
    "setitem": lambda x, a: x[0].__setitem__(a["i"], x[1]),
    "requires_grad_": lambda x, a: x[0].requires_grad_(a["v"]),
}


def execute(name, operands, attributes):
    if name in CALLS:
        return CALLS[name](operands, attributes)
    return getattr(operands[0], name)(*operands[1 : 2 if name in PAIRS + PAIR_CHANGES else 1])


def changes_operand(name):
    return name == "setitem" or name.endswith("_")


# ---- choosing ----


def broadcasts(shape, other):
    """The shape that both broadcast to, None where they do not."""
    try:
        return torch.broadcast_shapes(shape, other)
    except RuntimeError:
        return None


class Chooser:
    """Picks an instruction for the registers there are. Shapes mostly, not always, fit."""

    def __init__(self, rng, registers):
        self.rng, self.registers = rng, registers
        n = len(registers)
        # the newest registers are chosen more often than old ones
        self.first = rng.randrange(n) if rng.random() < 0.4 else max(0, n - 1 - int(rng.expovariate(0.5)))
        self.tensor = registers[self.first]
        self.shape, self.ndim = list(self.tensor.shape), self.tensor.dim()
        self.dim = rng.randrange(-self.ndim, self.ndim) if self.ndim else 0

    def among(self, fits, chance=0.97):
        """A register that fits; now and then any."""
        fitting = [k for k, tensor in enumerate(self.registers) if fits(tensor)]
        return self.rng.choice(fitting) if fitting and self.rng.random() < chance else self.rng.randrange(len(self.registers))

    def other(self):
        def fits(tensor):
            shape = broadcasts(tensor.shape, self.shape)
            return shape is not None and math.prod(shape) <= LARGEST

        return self.among(fits)

    def fitting(self):
        return self.among(lambda tensor: broadcasts(tensor.shape, self.shape) == self.tensor.shape)

    def choose(self):
        """(name, operands, attributes)"""
        families = [
            (12, self.unary),
            (13, self.pair),
            (4, self.with_number),
            (19, self.change),
            (4, self.setitem),
            (20, self.view),
            (8, self.reduction),
            (6, self.product_or_join),
            (4, self.index_select),
            (2, self.index_add),
            (2, lambda: ("hook", [self.first], {"k": self.rng.choice([2.0, -1.0, 0.5])})),
            (2, lambda: ("retain_grad", [self.first], {})),
            (2.5, lambda: ("detach_", [self.first], {})),
            (1.5, lambda: ("requires_grad_", [self.first], {"v": self.rng.random() < 0.8})),
        ]
        while True:
            family = self.rng.choices([make for _, make in families], [weight for weight, _ in families])[0]
            chosen = family()
            if chosen:
                return chosen

    def unary(self):
        name = self.rng.choice(["softmax", "cumsum", "square", "reciprocal_p", "log_p", "sqrt_p"] + METHODS[:8])
        return name, [self.first], {"dim": self.dim} if name in ("softmax", "cumsum") else {}

    def pair(self):
        return self.rng.choice(PAIRS + ["div_p", "where"]), [self.first, self.other()], {}

    def with_number(self):
        return self.rng.choice(["adds", "muls", "masked_fill"]), [self.first], {"s": self.rng.choice([-2.0, -0.5, 0.5, 2.0, 3.0])}

    def change(self):
        kind = self.rng.choice(PAIR_CHANGES + ["unary", "unary", "number", "number", "addcmul_", "masked_fill_"])
        if kind == "unary":
            name = self.rng.choice(CHANGES[:-1] + ["square_", "clamp_", "cumsum_"])
            return name, [self.first], {"dim": self.dim} if name == "cumsum_" else {}
        if kind == "number":
            return self.rng.choice(["adds_", "muls_", "fill_"]), [self.first], {"s": self.rng.choice([-2.0, 0.5, 2.0])}
        if kind == "addcmul_":
            return kind, [self.first, self.fitting(), self.fitting()], {"s": 0.5}
        return kind, [self.first, self.fitting()], {"s": 0.25} if kind == "masked_fill_" else {}

    def setitem(self):
        if not self.ndim or not self.shape[0]:
            return None
        part = torch.Size(self.shape[1:])
        fitting = [k for k, tensor in enumerate(self.registers) if broadcasts(tensor.shape, part) == part]
        return ("setitem", [self.first, self.rng.choice(fitting)], {"i": self.rng.randrange(self.shape[0])}) if fitting else None

    def view(self):
        size = self.shape[self.dim] if self.ndim else 0
        start = self.rng.randrange(size) if size else 0
        length = self.rng.randrange(0 if self.rng.random() < 0.05 else 1, size - start + 1) if size else 0
        new_shape = self.rng.choice([[-1], [1, -1], [-1, 1], self.shape[::-1]])
        numel = self.tensor.numel()
        possible = {
            "transpose": self.ndim >= 2 and {"d0": self.rng.randrange(self.ndim), "d1": self.rng.randrange(self.ndim)},
            "unsqueeze": {"dim": self.rng.randrange(-self.ndim - 1, self.ndim + 1)},
            "narrow": size and {"dim": self.dim, "start": start, "len": length},
            "select": size and {"dim": self.dim, "i": self.rng.randrange(-size, size)},
            "expand": numel <= 8 and {"shape": [self.rng.choice([2, 3])] + self.shape},
            "view": numel and {"shape": new_shape},
            "reshape": numel and {"shape": new_shape},
            "diagonal": self.ndim == 2 and {},
            "step": self.ndim and {"s": 2},
            "chunk": size >= 2 and {"n": 2, "dim": self.dim},
            "unbind": self.ndim and 1 <= self.shape[0] <= 3 and {"dim": 0},
            "flip0": self.ndim and {},
        }
        possible.update((name, {}) for name in ("squeeze", "flatten", "detach", "clone", "contiguous"))
        name = self.rng.choice(list(possible))
        return (name, [self.first], possible[name]) if isinstance(possible[name], dict) else ("clone", [self.first], {})

    def reduction(self):
        if not self.ndim:
            return None
        name = self.rng.choice(["sum", "mean", "amax", "logsumexp", "max_dim", "sum_all", "mean_all"])
        dim = {} if name.endswith("_all") else {"dim": self.dim}
        return name, [self.first], dim if name in ("max_dim", "sum_all", "mean_all") else dict(dim, keep=self.rng.random() < 0.5)

    def product_or_join(self):
        right = [k for k, t in enumerate(self.registers) if self.ndim == 2 and t.dim() == 2 and t.shape[0] == self.shape[1]]
        if right:
            return "matmul", [self.first, self.rng.choice(right)], {}
        alike = [k for k, t in enumerate(self.registers) if list(t.shape) == self.shape]
        return "cat" if self.ndim else "stack", [self.first, self.rng.choice(alike)], {"dim": 0}

    def index_select(self):
        if not self.ndim or not self.shape[self.dim]:
            return None
        count = self.rng.choice([1, 2, 3])
        return "index_select", [self.first], {"dim": self.dim, "i": [self.rng.randrange(self.shape[self.dim]) for _ in range(count)]}

    def index_add(self):
        if not self.ndim or not self.shape[0]:
            return None
        rows = [k for k, t in enumerate(self.registers) if t.dim() == self.ndim and list(t.shape[1:]) == self.shape[1:] and 0 < len(t) <= 3]
        if not rows:
            return None
        source = self.rng.choice(rows)
        indices = [self.rng.randrange(self.shape[0]) for _ in range(len(self.registers[source]))]
        return "index_add_", [self.first, source], {"dim": 0, "i": indices}


# ---- what PyTorch says ----

# The kinds of its errors by what the sentence says; ag-conformance has the same list. other: none of these; torch_bug: its own fault.
CATEGORIES = [
    ("INTERNAL ASSERT", "torch_bug"),
    ("Expected a proper Tensor", "torch_bug"),
    ("modified by an inplace operation", "saved_modified"),
    ("second time", "freed"),
    ("a leaf Variable that requires", "leaf"),
    ("a view of a leaf", "leaf_view"),
    ("no_grad mode", "no_grad_view"),
    ("multiple views", "multi_view"),
    ("being modified inplace", "multi_view"),
    ("has been modified inplace", "multi_view"),
    ("Can't detach views", "detach_view"),
    ("refers to a single memory", "overlap"),
    ("refer to a single memory", "overlap"),
    ("does not require grad", "no_grad_fn"),
    ("doesn't require grad", "hook"),
    ("retain_grad", "hook"),
    ("match the broadcast", "shape"),
    ("size", "shape"),
    ("only change requires_grad", "requires_grad_nonleaf"),
]


def failure(step, error):
    text = str(error)
    category = next((category for words, category in CATEGORIES if words in text), "other")
    return {"step": step, "type": type(error).__name__, "text": text.split("\n")[0][:200], "cat": category}


def numbers(tensor):
    tensor = tensor.detach()
    if tensor._is_zerotensor():
        tensor = torch.zeros(tensor.shape)
    return [value if math.isfinite(value) else repr(value) for value in tensor.reshape(-1).tolist()]


def optional_numbers(tensor):
    return None if tensor is None else numbers(tensor)


def state(tensor):
    """What is compared of a register; PyTorch may not be able to look at a view whose graph cannot be rebuilt."""
    try:
        flags = [list(tensor.shape), tensor.requires_grad, tensor.is_leaf, tensor._version, tensor._is_view()]
        return flags + [numbers(tensor)]
    except RuntimeError as error:
        return {"error": str(error).split("\n")[0][:200]}


# ---- a program ----


class Program:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.record = {"id": seed, "leaves": [], "code": []}
        self.registers, self.retained, self.watched = [], [], []  # watched: have a hook or retain_grad
        for _ in range(self.rng.randrange(2, 5)):
            self.add_leaf()
        self.n_leaves = len(self.registers)

    def add_leaf(self):
        shape, wants_grad = self.rng.choice(SHAPES), self.rng.random() < 0.75
        data = [self.rng.randrange(-16, 17) / 8 + self.rng.choice([0, 1 / 64]) for _ in range(math.prod(shape))]
        self.registers.append(torch.tensor(data).reshape(shape).clone().requires_grad_(wants_grad))
        self.record["leaves"].append({"shape": shape, "rg": wants_grad, "data": data})

    def flags_of(self, tensor):
        """(leaf that wants a gradient, or a view of one; wants a gradient)"""
        try:
            wants_grad = tensor.requires_grad
            base = tensor._base
            fixed = wants_grad and (tensor.is_leaf or (tensor._is_view() and base is not None and base.is_leaf and base.requires_grad))
            return fixed, wants_grad
        except RuntimeError:
            return False, True

    def choose(self):
        """An instruction. Most of those that could only be refused are replaced: refusals end a program early."""
        name, operands, attributes = Chooser(self.rng, self.registers).choose()
        target = self.registers[operands[0]]
        fixed, wants_grad = self.flags_of(target)
        if changes_operand(name) and name != "requires_grad_" and fixed and self.rng.random() < 0.93:
            name, attributes = "clone", {}
        elif name in PAIR_CHANGES + ["setitem", "index_add_"] and self.rng.random() < 0.85:
            if self.registers[operands[1]].untyped_storage().data_ptr() == target.untyped_storage().data_ptr():
                name, attributes = "muls" if fixed else "muls_", {"s": 2.0}
        elif name in ("hook", "retain_grad") and not wants_grad and self.rng.random() < 0.97:
            name, attributes = "clone", {}
        elif name == "requires_grad_" and not attributes["v"] and self.rng.random() < 0.9:
            attributes = {"v": True}
        return name, operands, attributes

    def is_watched(self, tensor):
        return any(self.registers[k].untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() for k in self.watched)

    def step(self):
        """One instruction, chosen and run; raises what PyTorch raises."""
        name, operands, attributes = self.choose()
        tensors = [self.registers[k] for k in operands]
        instruction = {"op": name, "in": operands}
        if attributes:
            instruction["a"] = attributes
        no_grad = name not in ("hook", "retain_grad") and self.rng.random() < 0.06
        if no_grad:
            instruction["ng"] = 1
        self.record["code"].append(instruction)
        if changes_operand(name) and self.is_watched(tensors[0]):
            self.record["hook_inplace"] = 1  # PyTorch changed its mind about these
        if name in ("hook", "retain_grad"):
            return self.watch(name, operands[0], attributes)
        with torch.set_grad_enabled(not no_grad):
            results = execute(name, tensors, attributes)
        if changes_operand(name):
            return None
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        if any(result.numel() > LARGEST for result in results):
            self.record["code"].pop()
            return None
        instruction["out"] = list(range(len(self.registers), len(self.registers) + len(results)))
        self.registers += results
        return None

    def watch(self, name, register, attributes):
        self.watched.append(register)
        if name == "retain_grad":
            self.registers[register].retain_grad()
            self.retained.append(register)
        else:
            self.registers[register].register_hook(lambda grad, k=attributes.get("k"): None if grad is None else grad * k)

    def run_code(self):
        for number in range(self.rng.randrange(4, 15)):
            try:
                self.step()
            except (RuntimeError, IndexError, ValueError, TypeError) as error:
                self.record["fail"] = failure(number, error)
                break
        self.record["regs"] = [state(tensor) for tensor in self.registers]

    def cotangent(self, like):
        return torch.tensor([self.rng.randrange(-8, 9) / 4 for _ in range(like.numel())]).reshape(like.shape)

    def choose_roots(self):
        """What is differentiated, and how; False where nothing can be."""
        states = self.record["regs"]
        roots = [k for k, t in enumerate(self.registers) if isinstance(states[k], list) and t.requires_grad and t.numel()]
        if not roots:
            return False
        chosen = [roots[-1]] + ([self.rng.choice(roots)] if self.rng.random() < 0.25 else [])
        self.record["roots"] = list(dict.fromkeys(chosen))
        self.roots = [self.registers[k] for k in self.record["roots"]]
        self.cotangents = [self.cotangent(root) for root in self.roots]
        self.record["cot"] = [cotangent.reshape(-1).tolist() for cotangent in self.cotangents]
        modes = ["backward", "backward_retain_twice", "backward_twice", "grad2"]
        self.record["mode"] = self.rng.choices(modes, [6, 1, 1, 2.5])[0]
        return True

    def walk(self, retain_graph):
        # Copies: a leaf's .grad may become a view of what is handed over, and then the next walk would change it.
        cotangents = [cotangent.clone() for cotangent in self.cotangents]
        torch.autograd.backward(self.roots, cotangents, retain_graph=retain_graph)

    def backward(self):
        mode, step = self.record["mode"], "backward"
        try:
            self.walk(mode == "backward_retain_twice")
            if mode != "backward":
                step = "backward2"
                self.walk(False)
        except RuntimeError as error:
            self.record["fail"] = failure(step, error)
        wanted = list(range(self.n_leaves)) + sorted(set(self.retained))
        self.record["grad"] = {str(k): optional_numbers(self.registers[k].grad) for k in wanted}

    def second_order(self):
        leaves = [k for k in range(self.n_leaves) if self.registers[k].requires_grad and self.registers[k].is_leaf]
        if not leaves:
            self.record["mode"] = "none"
            return
        inputs = [self.registers[k] for k in leaves]
        try:
            first = torch.autograd.grad(self.roots, inputs, self.cotangents, create_graph=True, allow_unused=True)
            self.record["grad"] = {str(k): optional_numbers(gradient) for k, gradient in zip(leaves, first)}
            again = [(k, g, self.cotangent(g)) for k, g in zip(leaves, first) if g is not None and g.requires_grad]
            if not again:
                return
            self.record["cot2"] = {str(k): cotangent.reshape(-1).tolist() for k, _, cotangent in again}
            second = torch.autograd.grad([g for _, g, _ in again], inputs, [c for _, _, c in again], allow_unused=True)
            self.record["grad2"] = {str(k): optional_numbers(gradient) for k, gradient in zip(leaves, second)}
        except RuntimeError as error:
            self.record["fail"] = failure("grad2", error)

    def run(self):
        self.run_code()
        if "fail" in self.record:
            return self.record
        if not self.choose_roots():
            self.record["mode"] = "none"
        elif self.record["mode"] == "grad2":
            self.second_order()
        else:
            self.backward()
        return self.record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    ends = collections.Counter()
    with open(options.out, "w", encoding="utf-8") as file:
        for number in range(options.count):
            record = Program(options.seed * 10_000_000 + number).run()
            ends[record["fail"]["cat"] if "fail" in record else record["mode"]] += 1
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    print(", ".join("%s %d" % pair for pair in ends.most_common()), file=sys.stderr)


if __name__ == "__main__":
    main()
