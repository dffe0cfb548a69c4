"""gather.py SOURCES BUILD MNIST KINDS CUBLAS FOLDER: puts what tools/gpu-bundle has built into FOLDER, with every library
that is no part of the C library, and makes sure that nothing in it looks anywhere else."""
import gzip
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys

ROOT, BUILD, MNIST = map(Path, sys.argv[1:4])
KINDS, CUBLAS, FOLDER = sys.argv[4].split(","), sys.argv[5], Path(sys.argv[6])
# glibc's own: these are the machine's, and so is the driver.
GLIBC = {"libc.so.6", "libm.so.6", "libmvec.so.1", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
MNIST_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
# Come along for the emulation alone.
OF_EMULATION = {"libargent-cuda-host.so", "libstdc++.so.6", "libgcc_s.so.1"}
# About the machine that builds, or about nothing that another machine would show.
NOT_THERE = {"test_cuda_driver", "test_cuda_kernels", "test_mnist_download"}


def introspect(what):
    done = subprocess.run(["meson", "introspect", f"--{what}", str(BUILD)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def copy(source, *to):
    path = FOLDER.joinpath(*to)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, path)
    if is_elf(path):
        subprocess.run(["strip", str(path)], check=True)


def suites():
    """Lines of tests.txt, "kind name program argument...": the suites, and the conformance tests. Their programs are copied."""
    lines = []
    for test in introspect("tests"):
        kind = test["suite"][0].split(":")[-1]
        program, *arguments = test["cmd"]
        of_cuda = kind == "cuda" or "cuda" in test["name"]
        if test["name"] in NOT_THERE or test["name"].endswith("_reordered"):
            continue
        if kind not in KINDS or not Path(program).is_relative_to(BUILD):
            continue
        copy(program, "bin", Path(program).name)
        arguments = [a.replace(f"{ROOT}/", "") for a in arguments]
        lines.append(" ".join(["cuda" if of_cuda else "cpu", test["name"], Path(program).name, *arguments]))
    return sorted(set(lines), key=lambda line: (line.split()[0] != "cuda", line))


def programs():
    """The benchmarks and the example."""
    for target in introspect("targets"):
        path = Path(target["filename"][0])
        if target["type"] == "executable" and (path.parent.name == "benchmarks" or path.name == "mnist_cnn"):
            copy(path, "bin", path.name)


def plug_ins():
    library = next(BUILD.glob("libargent.so.*.*.*"))
    soname = re.search(r"SONAME.*\[(.*)\]", output_of("readelf", "-d", str(library))).group(1)
    copy(library, "lib", soname)
    for name in ("libargent-cuda.so", "libargent-cuda-host.so"):
        if (BUILD / name).is_file():
            copy(BUILD / name, "lib", name)


def toolkit():
    """Where nvcc says that its toolkit is; None without one."""
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if not nvcc:
        return None
    said = subprocess.run([nvcc, "--dryrun", "-x", "cu", "-c", "/dev/null"], capture_output=True, text=True, check=False).stderr
    top = re.search(r"^#\$ TOP=(.*)$", said, re.M)
    return Path(top.group(1).strip()).resolve() if top else None


def cublas():
    """cuBLAS is opened, not linked: the plug-in looks for it beside itself first."""
    if CUBLAS == "no":
        return
    home = toolkit()
    places = [Path(CUBLAS)] if CUBLAS else [home / "lib64", home / "lib"] if home else []
    for place in places:
        found = [sorted(place.glob(f"{name}.so.[0-9][0-9]"))[-1:] for name in ("libcublas", "libcublasLt")]
        if all(found):
            for (library,) in found:
                (FOLDER / "lib").mkdir(exist_ok=True)
                shutil.copy2(library, FOLDER / "lib" / library.name)
            return
    if CUBLAS:
        sys.exit(f"gpu-bundle: there is no libcublas.so.13 with its libcublasLt.so.13 in {CUBLAS}")
    print("no libcublas comes along: products of matrices go to the machine's, or are made by Argent's own kernels")


def data():
    if all((MNIST / name).is_file() or (MNIST / f"{name}.gz").is_file() for name in MNIST_FILES):
        for name in MNIST_FILES:
            packed = FOLDER / "data/MNIST/raw" / f"{name}.gz"
            packed.parent.mkdir(parents=True, exist_ok=True)
            there = MNIST / f"{name}.gz"
            packed.write_bytes(there.read_bytes() if there.is_file() else gzip.compress((MNIST / name).read_bytes(), mtime=0))
    else:
        print(f"{MNIST} has not the four files of MNIST: the bundle gets a small made-up set")
        sys.path.insert(0, str(ROOT / "tests"))
        sys.dont_write_bytecode = True
        import synthetic_mnist
        synthetic_mnist.write(FOLDER / "data/MNIST/raw", n_train=2000, n_test=400, packed=True)
    for folder in ("tests/data", "tests/conformance"):
        shutil.copytree(ROOT / folder, FOLDER / folder, dirs_exist_ok=True)
    for name in ("cuda", "cuda_page", "goals", "measure", "plots", "report", "torch_cases"):  # where there is a Python
        copy(ROOT / f"benchmarks/{name}.py", f"benchmarks/{name}.py")
    copy(ROOT / "tools/torch_mnist.py", "tools/torch_mnist.py")


def binaries():
    return [p for folder in ("bin", "lib") for p in sorted((FOLDER / folder).iterdir()) if is_elf(p)]


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", str(path)))


def bring_libraries():
    """What the programs and libraries here are linked to, and what that is linked to."""
    places = dict(re.findall(r"^\s*(\S+) \(.*x86-64.*\) => (\S+)$", output_of("ldconfig", "-p"), re.M)[::-1])
    waiting = binaries()
    while waiting:
        for name in needed(waiting.pop()):
            if name in GLIBC or (FOLDER / "lib" / name).exists():
                continue
            if name not in places:
                sys.exit(f"gpu-bundle: {name} is not to be found")
            copy(places[name], "lib", name)
            waiting.append(FOLDER / "lib" / name)


def check_paths():
    """Every run path begins at $ORIGIN, and no library is looked for that is neither here nor the C library's. The
    oldest glibc that will do."""
    version = (0,)
    for path in binaries():
        text = output_of("readelf", "-d", str(path))
        for run_path in re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", text):
            outside = [p for p in run_path.split(":") if not p.startswith("$ORIGIN")]
            if outside:
                sys.exit(f"gpu-bundle: {path.name} looks for libraries in {outside[0]}")
        for name in needed(path):
            if name not in GLIBC and not (FOLDER / "lib" / name).exists():
                sys.exit(f"gpu-bundle: {path.name} wants {name}, which is not here")
        if path.name in OF_EMULATION:
            continue
        wanted = re.findall(r"GLIBC_(\d+(?:\.\d+)+)", output_of("readelf", "-V", str(path)))
        version = max([version, *(tuple(map(int, v.split("."))) for v in wanted)])
    return ".".join(map(str, version))


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "bin").mkdir(parents=True)
    (FOLDER / "tests.txt").write_text("\n".join(suites()) + "\n")
    programs()
    plug_ins()
    cublas()
    data()
    copy(ROOT / "tools/bundle/run", "run")
    bring_libraries()
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout
    (FOLDER / "about.txt").write_text(f"Argent {commit.strip()}; wants x86-64 and glibc {check_paths()} or newer\n")
    print((FOLDER / "about.txt").read_text() + f"{FOLDER}: {len(binaries())} programs and libraries, "
          f"{sum(p.stat().st_size for p in FOLDER.rglob('*') if p.is_file()) >> 20} MiB")


main()
