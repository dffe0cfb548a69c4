"""The scratch copy of the tree: the sources with all the mutants in them, and its build."""
import re
import shutil
import subprocess

from . import functions, kernels, rows
from .mutant import insert, number

HERE = "tools/mutation"
# The places where the engine asks which derivative it is, and what an op keeps. Each must be there once.
HOOKS = [
    ("ops/pointwise_formula.c", "return reads[e];", "return reads[ag__mutant_expression(e, false)];"),
    ("ops/pointwise_apply.c", "int expression = row->value + 1 + i - first;",
     "int expression = ag__mutant_expression(row->value + 1 + i - first, true);"),
    ("ops/pointwise_formula.c", "MAX_NODES = 4096", "MAX_NODES = 65000"),
    ("autograd/apply.c", "keeps |= op->keeps[i < AG_MAX_KEEPS ? i : AG_MAX_KEEPS - 1];",
     "keeps |= ag__mutant_keeps(op, op->keeps[i < AG_MAX_KEEPS ? i : AG_MAX_KEEPS - 1]);"),
    ("ops/meson.build", "'window.c',", "'window.c', '../mutants.c',"),
]


class Failed(Exception):
    pass


def all_mutants(root):
    """The mutants of the tree, numbered, and what to insert into its files: path: [(start, end, before, after)]."""
    of_functions, in_functions = functions.mutants(root)
    of_kernels, in_kernels = kernels.mutants(root)
    mutants = number(rows.mutants(root) + of_functions + of_kernels)
    found = {}
    for module, edits in ((functions, in_functions), (kernels, in_kernels)):
        for name, of_file in edits.items():
            found.setdefault(name, []).extend(module.insertions(of_file))
    return mutants, found


def tables(mutants):
    lines = ["#ifdef WIDENED"]
    lines += [f"WIDENED({m.number}, {op}, {m.keeps}u)" for m in mutants if m.keeps for op in m.ops]
    lines += ["#endif", "#ifdef EXPRESSION"]
    lines += [f"EXPRESSION({m.number}, {m.expression[0]}, {m.expression[1]})" for m in mutants if m.expression]
    return "\n".join(lines + ["#endif", ""])


def with_header(name, text):
    """Kernels see nothing of the library but their own headers."""
    header = "mutants_kernel.h" if name.startswith("ops/cpu/") else "mutants.h"
    return text if text.startswith("#include") else f'#include "{header}"\n#line 1\n{text}'


def changed_files(root, mutants, insertions):
    """What differs from the tree: path: text."""
    files = {name: with_header(name, insert((root / name).read_text(), of_file)) for name, of_file in insertions.items()}
    files[rows.FILE] = rows.mutate((root / rows.FILE).read_text(), [m for m in mutants if m.expression])
    for name, before, after in HOOKS:
        text = files.get(name) or (root / name).read_text()
        if text.count(before) != 1:
            raise Failed(f"tools/mutation/scratch.py does not find its place in {name}: {before}")
        text = text.replace(before, after)
        files[name] = with_header(name, text) if name.endswith(".c") else text
    files["mutants_table.h"] = tables(mutants)
    for name in ("mutants.h", "mutants_kernel.h", "mutants.c"):
        files[name] = (root / HERE / name).read_text()
    return files


def write_if_other(path, data):
    """A file that is as it was keeps its time, and is not compiled again."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def copy_tree(root, to, mutants, insertions):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True,
                            text=True, check=True).stdout.split("\n")
    changed = changed_files(root, mutants, insertions)
    wanted = {name for name in listed if name and (root / name).is_file()} | set(changed)
    for old in [p for p in to.rglob("*") if p.is_file()] if to.is_dir() else []:
        if str(old.relative_to(to)) not in wanted:
            old.unlink()
    for name in wanted:
        write_if_other(to / name, changed[name].encode() if name in changed else (root / name).read_bytes())
        if name not in changed:
            shutil.copymode(root / name, to / name)


def run_quietly(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = re.findall(r"^.*(?:error|ERROR).*$", done.stdout + done.stderr, re.M)
        raise Failed(f"{' '.join(command[:3])} failed:\n" + "\n".join(errors[:20] or [done.stdout[-2000:]]))


def build(root, work, jobs, set_aside):
    """Builds the scratch copy; the folder of its build, and the suites that are there. The compiler reads every mutant:
    one that is no C would stop here."""
    mutants, insertions = all_mutants(root)
    source, out = work / "source", work / "build"
    copy_tree(root, source, mutants, insertions)
    if not (out / "build.ninja").is_file():
        run_quietly(["meson", "setup", str(out), str(source), "--buildtype=release", "-Dtests=enabled",
                     "-Dexamples=false", "-Dbenchmarks=false"])
    suites = re.findall(r"^    '(test_\w+)': files", (root / "tests/meson.build").read_text(), re.M)
    suites = [s for s in suites if s not in set_aside]
    run_quietly(["ninja", "-C", str(out), f"-j{jobs}", "tools/ag-conformance", *[f"tests/{s}" for s in suites]])
    return mutants, out, suites
