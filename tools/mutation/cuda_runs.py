"""Builds of the emulation with one kernel source changed, and the suites on them."""
from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path
import re
import shlex
import subprocess
import tempfile
import time

from mutation.session import finish

PLUGIN, ARCHIVE = "libargent-cuda-host.so", "cuda/libargent_cuda_host_kernels.a"


class Failed(Exception):
    pass


@dataclass
class Suite:
    name: str
    command: list
    env: dict
    seconds: float = 0
    kernels: set = field(default_factory=set)  # launched, as the emulation names them


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


class Build:
    """A configured build folder, whose emulation and suites are made anew where they are not of today."""

    def __init__(self, folder, root):
        self.folder, self.root = Path(folder).resolve(), root
        tests = json.loads(output_of("meson", "introspect", "--tests", str(self.folder)))
        tests = [t for t in tests if t["suite"] == ["argent:cuda"] and t["name"] != "test_cuda_kernels"]
        if not tests:
            raise Failed(f"{self.folder} has no suites on the emulation")
        programs = [str(Path(t["cmd"][0]).relative_to(self.folder)) for t in tests]
        output_of("ninja", "-C", str(self.folder), PLUGIN, *dict.fromkeys(programs))
        self.suites = [Suite(t["name"], t["cmd"], t["env"]) for t in tests]
        self.commands = {}  # of a source's compilation: "cuda/triangle.cu": its words
        self.objects = {}
        self.read_commands()

    def read_commands(self):
        wrapped = {f"{p.name.replace('.', '_')}.cc": p for p in self.root.glob("cuda/*.cu")}
        for entry in json.loads((self.folder / "compile_commands.json").read_text()):
            source = wrapped.get(Path(entry["file"]).name)
            if source and entry["output"].startswith(ARCHIVE.replace(".a", ".a.p")):
                words = shlex.split(entry["command"])
                words = [w for w in words if w not in ("ccache", "-MD")]
                for option in ("-MQ", "-MF", "-o"):
                    at = words.index(option)
                    del words[at:at + 2]
                self.commands[f"cuda/{source.name}"] = words
                self.objects[f"cuda/{source.name}"] = entry["output"]
        commands = output_of("ninja", "-C", str(self.folder), "-t", "commands", PLUGIN)
        self.link = shlex.split(commands.strip().split("\n")[-1])

    def trace(self, known):
        """Runs the suites as they are: how long each takes, and which kernels it launches. The names of those that
        fail. `known` has what was found before, and gets what is found now."""
        broken, plugin = [], (self.folder / PLUGIN).read_bytes()
        for suite in self.suites:
            digest = hashlib.sha256(plugin + Path(suite.command[0]).read_bytes()).hexdigest()[:16]
            key = f"{self.folder} {suite.name} {digest}"
            if key in known:
                suite.seconds, suite.kernels = known[key][0], set(known[key][1])
                continue
            with tempfile.TemporaryDirectory() as place:
                noted = Path(place, "launched")
                begin = time.monotonic()
                if finish(suite.command, {**suite.env, "CUDA_HOST_LAUNCHED": str(noted)}, 900) != 0:
                    broken.append(suite.name)
                    continue
                suite.seconds = time.monotonic() - begin
                suite.kernels = set(noted.read_text().splitlines()) if noted.is_file() else set()
                known[key] = [suite.seconds, sorted(suite.kernels)]
        self.suites = [s for s in self.suites if s.name not in broken]
        return broken

    def suites_of(self, source):
        """The suites that launch a kernel of it, the quick ones first."""
        data = (self.folder / self.objects[source]).read_bytes()
        kernels = {m.decode() for m in re.findall(rb"static const char\* hs_kernel<[^\0]*", data)}
        return sorted((s for s in self.suites if s.kernels & kernels), key=lambda s: s.seconds)

    def compile(self, source, changed, text, place):
        """The plug-in in which the file `changed` has that text, and `source` alone has been compiled with it; None
        where it is no C++."""
        path = place / changed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        compiler, *words = self.commands[source]
        done = subprocess.run([compiler, f"-I{place}", *words, "-w", "-o", str(place / "mutant.o")], cwd=self.folder,
                              capture_output=True)
        if done.returncode:
            return None
        objects = [str(place / "mutant.o") if s == source else o for s, o in self.objects.items()]
        words = [w for word in self.link for w in (objects if word == ARCHIVE else [word])]
        words[words.index("-o") + 1] = str(place / PLUGIN)
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"the plug-in cannot be linked:\n{done.stderr[-2000:]}")
        return place / PLUGIN

    def noticed(self, source, plugin):
        """The name of the suite that fails with it, or None."""
        for suite in self.suites_of(source):
            env = {**suite.env, "AG_CUDA_PLUGIN": str(plugin)}
            env.pop("CUDA_HOST_LAUNCHED", None)
            if finish(suite.command, env, 20 + 10 * suite.seconds) != 0:
                return suite.name
        return None


def users(root, name, sources):
    """The kernel sources that a change of the file `name` changes, itself or by what they include; small ones first."""
    if name.endswith(".cu"):
        return [name] if name in sources else []
    return sorted((s for s in sources if name in reads(root, s)), key=lambda s: (root / s).stat().st_size)


def reads(root, file, seen=None):
    """The file and what it includes of cuda/."""
    seen = set() if seen is None else seen
    seen.add(file)
    for other in re.findall(r'^#include "(cuda/[^"]+)"', (root / file).read_text(), re.M):
        if other not in seen and (root / other).is_file():
            reads(root, other, seen)
    return seen
