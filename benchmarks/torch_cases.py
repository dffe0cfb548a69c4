#!/usr/bin/env python3
"""PyTorch's counterpart of the programs in this folder: runs the cases they list, one round for a line.

Usage: benchmarks/torch_cases.py [--threads N] [--round-ms N] [--data DIR] [--device cuda] [--tf32] [--captured]

A line of standard input is an object of `PROGRAM --list`; the answer is {"case": NAME, "values": {VARIANT: NUMBER}}, in
nanoseconds as the program's own. Variants are what a user of PyTorch could choose between: "eager", or "nchw" and
"channels_last", and "compile" where torch.compile works; with --captured, for cases whose step is captured, also
"captured": a whole training step replayed as one graph. "drop" forgets the cases that are set up.
"""

import argparse
import gzip
import json
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import torch_mnist

TYPES = {"f32": torch.float32, "f64": torch.float64}
FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
options = None


def uniform(shape, dtype=torch.float32, low=-1.0, high=1.0):
    return torch.empty(shape, dtype=dtype).uniform_(low, high)


# ---- one function a family: parameters -> {variant: function that runs once}. A function may return seconds, of the
# ---- part that counts; otherwise the whole call is timed.


def conv2d(p):
    out = [
        (p[size] + 2 * p["padding"] - p["dilation"] * (p[kernel] - 1) - 1) // p["stride"] + 1
        for size, kernel in (("h", "kh"), ("w", "kw"))
    ]
    variants = {}
    for name, memory_format in FORMATS.items():
        x = uniform((p["n"], p["c"], p["h"], p["w"])).contiguous(memory_format=memory_format)
        w = uniform((p["o"], p["c"] // p["groups"], p["kh"], p["kw"])).contiguous(memory_format=memory_format)
        g = uniform((p["n"], p["o"], *out)).contiguous(memory_format=memory_format)
        how = [[p["stride"]] * 2, [p["padding"]] * 2, [p["dilation"]] * 2]
        if p["pass"] == "forward":
            variants[name] = lambda x=x, w=w, how=how: functional.conv2d(x, w, None, *how, p["groups"])
        else:
            mask = [p["pass"] == "input gradient", p["pass"] == "weight gradient", False]
            variants[name] = lambda x=x, w=w, g=g, how=how, mask=mask: torch.ops.aten.convolution_backward(
                g, x, w, None, *how, False, [0, 0], p["groups"], mask
            )
    return variants


def mm(p):
    def operand(rows, columns, turned):
        dtype = TYPES[p["dtype"]]
        return uniform((columns, rows), dtype).t() if turned else uniform((rows, columns), dtype)

    a = operand(p["rows"], p["inner"], p["turn_a"])
    b = operand(p["inner"], p["columns"], p["turn_b"])
    return {"eager": lambda: torch.mm(a, b)}


def tape(p):
    x = uniform(p["elements"], low=0.5, high=1.5)
    factor, ones = torch.full((p["elements"],), 0.9999), torch.ones(p["elements"])
    part, chain = p["part"], range(p["chain"])
    x.requires_grad_(part != "forward")

    def once():
        x.grad = None
        start = time.perf_counter()
        y = x
        for _ in chain:
            y = torch.mul(y, factor)
        recorded = time.perf_counter()
        if part in ("backward", "both"):
            y.backward(ones)
        del y
        end = time.perf_counter()
        return {"record": recorded - start, "backward": end - recorded}.get(part, end - start)

    return {} if part == "bytes" else {"eager": once}


def pointwise(p):
    dtype = TYPES[p["dtype"]]
    rows, columns = p["rows"], p["columns"]
    function = {"gelu": functional.gelu}.get(p["op"]) or getattr(torch, p["op"])
    x = uniform((columns, rows), dtype, p["low"], p["high"]).t() if p["layout"] == "transposed" else uniform(
        (rows, columns), dtype, p["low"], p["high"]
    )
    if p["op"] not in ("add", "mul", "div"):
        return {"eager": lambda: function(x)}
    y = uniform((columns,) if p["layout"] == "broadcast" else (rows, columns), dtype, p["low"], p["high"])
    return {"eager": lambda: function(x, y)}


def reduce(p):
    shape = (p["rows"], p["columns"], 20, 20) if p["dim"] == "channels" else (p["rows"], p["columns"])
    x = uniform(shape, TYPES[p["dtype"]], -3, 3)
    labels = torch.randint(0, p["columns"], (p["rows"],))
    if p["op"] == "cross_entropy":
        return {"eager": lambda: functional.cross_entropy(x, labels)}
    function = getattr(torch, p["op"])
    if p["dim"] == "all":
        return {"eager": lambda: function(x)}
    dim = (0, 2, 3) if p["dim"] == "channels" else int(p["dim"])
    return {"eager": lambda: function(x, dim)}


def max_pool2d(p):
    variants = {}
    for name, memory_format in FORMATS.items():
        x = uniform((p["n"], p["c"], p["h"], p["w"])).contiguous(memory_format=memory_format)
        if p["pass"] == "forward":
            variants[name] = lambda x=x: functional.max_pool2d(x, p["kernel"], p["stride"], p["padding"])
        else:
            x.requires_grad_()
            y = functional.max_pool2d(x, p["kernel"], p["stride"], p["padding"])
            g = uniform(y.shape).contiguous(memory_format=memory_format)
            variants[name] = lambda x=x, y=y, g=g: torch.autograd.grad(y, x, g, retain_graph=True)
    return variants


# ---- networks ----


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.ReLU())
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride) if inputs != outputs or stride != 1 else None

    def forward(self, x):
        y = self.second(self.first(x))
        return torch.relu(y + (self.shortcut(x) if self.shortcut else x))


NETWORKS = {
    "mnist_cnn": (lambda: torch_mnist.Cnn(1), (1, 28, 28)),
    "mlp": (
        lambda: nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)),
        (784,),
    ),
    "resnet": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2),
            nn.MaxPool2d(8), nn.Flatten(), nn.Linear(64, 10),
        ),
        (3, 32, 32),
    ),
}  # fmt: skip


def flatten_any(net):
    """The CNN flattens by a view, which channels_last has none of."""
    net.forward = lambda x: net.fc4(net.fc3(net.drop(net.maxpool(net.conv2(net.conv1(x)))).flatten(1)))


def step_of(net, forward, optimizer, x, labels):
    def once():
        optimizer.zero_grad()
        functional.cross_entropy(forward(x), labels).backward()
        optimizer.step()

    return once


def on_cuda():
    return options.device.startswith("cuda")


def synchronize():
    if on_cuda():
        torch.cuda.synchronize()


def captured(step):
    """The step as one graph: its work is recorded once, then replayed. On the CPU the step itself, for trying this out."""
    if not on_cuda():
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def model(p):
    make, shape = NETWORKS[p["op"]]
    formats = FORMATS if len(shape) == 3 else {"eager": None}
    variants = {}
    for name, memory_format in formats.items():
        net, x = make(), uniform((p["n"], *shape))
        labels = torch.randint(0, 10, (p["n"],))
        if memory_format is not None:
            net, x = net.to(memory_format=memory_format), x.contiguous(memory_format=memory_format)
        if p["op"] == "mnist_cnn":
            flatten_any(net)
        if p["trains"]:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
            variants[name] = step_of(net, net, optimizer, x, labels)
            if options.captured and p.get("captured"):
                variants[f"{name} captured"] = captured(variants[name])
        else:
            net.eval()

            def infer(net=net, x=x):
                with torch.no_grad():
                    net(x)

            variants[name] = infer
    return variants


compile_works = None


def compiles():
    """Whether torch.compile makes something that runs: it needs a C++ compiler."""
    global compile_works
    if options.no_compile:
        return False
    if compile_works is None:
        try:
            torch.compile(lambda x: x * 2 + 1)(torch.ones(3))
            compile_works = True
        except Exception as error:  # whatever it is that it lacks
            print(f"torch_cases: torch.compile does not work here: {error}".splitlines()[0], file=sys.stderr)
            compile_works = False
    return compile_works


class Mnist(torch.utils.data.Dataset):
    """The training images, converted and normalised beforehand; a batch is gathered by one indexing operation."""

    def __init__(self, folder):
        def elements(name, header):
            path = os.path.join(folder, name)
            with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb") as file:
                return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)

        self.images = torch_mnist.to_images(elements("train-images-idx3-ubyte", 16).view(-1, 28, 28))
        self.labels = elements("train-labels-idx1-ubyte", 8).to(torch.int64)

    def __len__(self):
        return len(self.labels)

    def __getitems__(self, indices):
        indices = torch.tensor(indices)
        return self.images[indices], self.labels[indices]


def faster_format():
    """Of NCHW and channels_last, the one in which 40 training steps take less time."""
    seconds = {}
    for memory_format in FORMATS.values():
        net = torch_mnist.Cnn(1)
        flatten_any(net)
        net = net.to(memory_format=memory_format)
        x = uniform((64, 1, 28, 28)).contiguous(memory_format=memory_format)
        step = step_of(net, net, torch.optim.SGD(net.parameters(), lr=0.01), x, torch.randint(0, 10, (64,)))
        step()
        synchronize()
        start = time.perf_counter()
        for _ in range(40):
            step()
        synchronize()
        seconds[memory_format] = time.perf_counter() - start
    return min(seconds, key=seconds.get)


def resident(dataset):
    """Batches of 64 of a dataset that lies on the device, in a new order each pass."""
    for indices in torch.randperm(len(dataset)).split(64):
        yield dataset.images[indices], dataset.labels[indices]


def captured_epoch(dataset, memory_format):
    """An epoch whose steps are one graph each: the batch is gathered to where it reads. A short last one is as it is."""
    net = torch_mnist.Cnn(1)
    flatten_any(net)
    net = net.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x = uniform((64, 1, 28, 28)).contiguous(memory_format=memory_format)
    labels = torch.randint(0, 10, (64,))
    replay = captured(step_of(net, net, optimizer, x, labels))

    def epoch():
        for indices in torch.randperm(len(dataset)).split(64):
            if len(indices) == len(labels):
                torch.index_select(dataset.images, 0, indices, out=x)
                torch.index_select(dataset.labels, 0, indices, out=labels)
                replay()
            else:
                step_of(net, net, optimizer, dataset.images[indices].contiguous(memory_format=memory_format),
                        dataset.labels[indices])()  # fmt: skip

    return epoch


def mnist_epoch(p):
    dataset = Mnist(os.path.join(options.data, "MNIST", "raw"))
    dataset.images, dataset.labels = dataset.images.to(options.device), dataset.labels.to(options.device)
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True, collate_fn=lambda batch: batch)
    memory_format = faster_format()
    variants = {}
    for name in ("eager", "compile") if compiles() else ("eager",):
        net = torch_mnist.Cnn(1)
        flatten_any(net)
        net = net.to(memory_format=memory_format)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        forward = torch.compile(net) if name == "compile" else net
        for n in (64, 32):  # both sizes of an epoch's batches are compiled before it is timed
            x = uniform((n, 1, 28, 28)).contiguous(memory_format=memory_format)
            step_of(net, forward, optimizer, x, torch.randint(0, 10, (n,)))()

        def epoch(net=net, forward=forward, optimizer=optimizer):
            net.train()
            for images, labels in resident(dataset) if on_cuda() else loader:
                step_of(net, forward, optimizer, images.contiguous(memory_format=memory_format), labels)()

        variants[name] = epoch
    if options.captured and p.get("captured"):
        variants["captured"] = captured_epoch(dataset, memory_format)
    return variants


FAMILIES = {"pointwise": pointwise, "reduce": reduce, "model": model}
OPS = {"conv2d": conv2d, "mm": mm, "tape": tape, "max_pool2d": max_pool2d, "mnist_epoch": mnist_epoch}


# ---- rounds ----


class Warm:
    """A case that is set up; `runs` of each variant fill a round."""

    def __init__(self, parameters):
        torch.manual_seed(1)
        make = FAMILIES.get(parameters.get("family")) or OPS[parameters["op"]]
        self.per = parameters.get("per") or 1
        self.variants = make(parameters)
        self.long = parameters.get("op") == "mnist_epoch"  # a single run is a round
        self.runs = {}
        for name, function in self.variants.items():
            runs = 1
            while not self.long:
                taken = self.seconds(function, runs)[1]
                if taken >= 1e-3 * options.round_ms:
                    break
                runs = int(runs * min(10, 1.1e-3 * options.round_ms / max(taken, 1e-9))) + 1
            self.runs[name] = runs

    @staticmethod
    def seconds(function, runs):
        """Seconds that count, and seconds that passed."""
        counted = 0
        start = time.perf_counter()
        for _ in range(runs):
            result = function()
            if type(result) is float:
                counted += result
        synchronize()
        passed = time.perf_counter() - start
        return counted or passed, passed

    def round(self):
        values = {}
        for name, function in self.variants.items():
            if self.runs[name] > 1:
                function()
            values[name] = self.seconds(function, self.runs[name])[0] / self.runs[name] / self.per * 1e9
        return values


def main():
    global options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--round-ms", type=float, default=20)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--captured", action="store_true", help="training steps as graphs, too")
    parser.add_argument("--tf32", action="store_true", help="products and convolutions on a CUDA device in TF32")
    options = parser.parse_args()
    torch.set_default_device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
    torch.set_num_threads(options.threads)
    torch.set_default_dtype(torch.float32)
    warm = {}
    for line in sys.stdin:
        if line.strip() == "drop":
            warm.clear()
            print("{}", flush=True)
            continue
        if line.strip() == "version":
            print(json.dumps({"version": torch.__version__}), flush=True)
            continue
        parameters = json.loads(line)
        name = parameters["case"]
        try:
            if name not in warm:
                warm[name] = Warm(parameters)
            answer = {"case": name, "values": warm[name].round()}
        except Exception as error:  # said in the answer; the next case may work
            warm.pop(name, None)
            answer = {"case": name, "wrong": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
