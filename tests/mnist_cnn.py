#!/usr/bin/env python3
"""mnist_cnn.py PROGRAM DATA: the example mnist_cnn on a small data set: its lines, its options, and its losses against PyTorch's
(DATA/mnist_cnn_losses.txt, recorded by tools/record-mnist-cnn.py)."""
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import synthetic_mnist

PROGRAM, DATA = sys.argv[1:3]
NETWORK = """\
Cnn(
  (conv1): Sequential(
    (0): Conv2d(1, 10, kernel_size=(5, 5), stride=(1, 1))
    (1): ReLU()
  )
  (conv2): Sequential(
    (0): Conv2d(10, 20, kernel_size=(5, 5), stride=(1, 1))
    (1): ReLU()
  )
  (maxpool): MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=0, dilation=1, ceil_mode=False)
  (drop): Dropout2d(p=0.25, inplace=False)
  (fc3): Sequential(
    (0): Linear(in_features=2000, out_features=100, bias=True)
    (1): ReLU()
  )
  (fc4): Sequential(
    (0): Linear(in_features=100, out_features=10, bias=True)
    (1): ReLU()
  )
)
torch.Size([10, 1, 5, 5])
torch.Size([10])
torch.Size([20, 10, 5, 5])
torch.Size([20])
torch.Size([100, 2000])
torch.Size([100])
torch.Size([10, 100])
torch.Size([10])
number of network parameters: 206390
"""
LINES = re.compile(
    NETWORK.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[").replace(".25", r"\.25")
    + r"""At epoch 0, minibatch 0\. Loss: \d+\.\d{4}\.
Epoch 0 finished! It took: \d+\.\d{4} seconds
Accuracy of the network on the 40 test images: \d+\.\d{2} %
(Never predicted: class .*\n)?At epoch 1, minibatch 0\. Loss: \d+\.\d{4}\.
Epoch 1 finished! It took: \d+\.\d{4} seconds
Accuracy of the network on the 40 test images: \d+\.\d{2} %
(Never predicted: class .*\n)?"""
)


def recorded_runs():
    """(seed, dtype, dropout, lr, losses, correct) of each run that was recorded."""
    runs = []
    with open(os.path.join(DATA, "mnist_cnn_losses.txt")) as file:
        for words in map(str.split, file):
            if words[0] == "run":
                runs.append((*words[1:], [], []))
            else:
                runs[-1][5 if words[0] == "correct" else 4].append(float(words[1]))
    return runs


def read_safetensors(path):
    """({name: (dtype, shape, bytes)}, metadata)"""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    texts = header.pop("__metadata__", {})
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}, texts


def write_safetensors(path, tensors, texts):
    header, data = {"__metadata__": texts} if texts else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    head = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)


class MnistCnn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        synthetic_mnist.write(cls.path("data"))
        synthetic_mnist.write(cls.path("packed", "MNIST", "raw"), packed=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, *parts):
        return os.path.join(cls.folder.name, *parts)

    def run_it(self, *arguments, status=0, data="data", **environment):
        """What it prints on standard output, or, where it is to fail, on standard error."""
        command = [PROGRAM, "--data", self.path(data), *map(str, arguments)]
        environment = {**os.environ, **environment}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        if status == 0:
            self.assertEqual(done.stderr, "")
        return done.stderr if status else done.stdout

    def log(self, *arguments, data="data"):
        self.run_it(*arguments, "--log", self.path("log"), data=data)
        with open(self.path("log")) as file:
            return file.read()

    def test_prints_the_notebooks_lines(self):
        self.assertRegex(self.run_it("--epochs", 2, "--batch-size", 16), r"\A" + LINES.pattern + r"\Z")

    def test_losses_and_accuracies_are_pytorchs(self):
        for seed, dtype, dropout, lr, losses, correct in recorded_runs():
            with self.subTest(seed=seed, dtype=dtype, dropout=dropout):
                tolerance, log = (1e-9 if dtype == "float64" else 1e-5), self.path("log")
                output = self.run_it("--seed", seed, "--dtype", dtype, "--dropout", dropout, "--epochs", 3, "--batch-size", 16,
                                     "--lr", lr, "--quiet", "--log", log)  # fmt: skip
                with open(log) as file:
                    lines = file.read().splitlines()
                self.assertEqual([int(line.split(" ")[0]) for line in lines], list(range(len(losses))))
                for line, expected in zip(lines, losses):
                    self.assertLess(abs(float(line.split(" ")[1]) / expected - 1), tolerance, line)
                accuracies = re.findall(r"Accuracy of the network on the 40 test images: (\S+) %", output)
                self.assertEqual(accuracies, ["%.2f" % (100 * n / 40) for n in correct])

    def test_a_log_has_nine_digits_or_seventeen(self):
        quick = ("--epochs", 1, "--limit", 64, "--no-eval", "--quiet")
        self.assertRegex(self.log(*quick), r"\A0 \d\.\d{6,8}\n\Z")
        self.assertRegex(self.log(*quick, "--dtype", "float64"), r"\A0 \d\.\d{13,16}\n\Z")

    def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(self):
        for settings in (("--dropout", 0.5), ("--dropout", 0, "--dtype", "float64", "--limit", 100)):
            run = ("--batch-size", 16, "--lr", 0.05, "--quiet", *settings)
            whole = self.log(*run, "--epochs", 3)
            first = self.log(*run, "--epochs", 1, "--save", self.path("saved"))
            with self.subTest("the same command line"):
                self.assertEqual(first + self.log(*run, "--epochs", 3, "--load", self.path("saved")), whole)
            with self.subTest("settings that are not given are those of the saved run"):
                self.assertEqual(first + self.log("--quiet", "--epochs", 3, "--load", self.path("saved")), whole)
            with self.subTest("a given seed changes nothing"):
                seed = ("--seed", 99, "--load", self.path("saved"))
                self.assertEqual(first + self.log("--quiet", "--epochs", 3, *seed), whole)
                self.assertIn(": --seed 99 has no effect.\n", self.run_it("--epochs", 0, *seed))
            self.assertEqual(sorted(os.listdir(self.folder.name)), ["data", "log", "packed", "saved"])
            os.remove(self.path("saved"))

    def test_a_resumed_run_may_learn_at_another_rate(self):
        saved = self.path("saved")
        run = ("--batch-size", 50, "--quiet", "--no-eval", "--load", saved, "--epochs", 2)
        self.run_it("--batch-size", 50, "--quiet", "--epochs", 1, "--save", saved)
        self.assertEqual(self.log(*run), self.log(*run, "--lr", 0.01))
        self.assertNotEqual(self.log(*run), self.log(*run, "--lr", 0.02))
        os.remove(saved)

    def test_a_state_dict_alone_gives_the_parameters(self):
        saved, alone = self.path("saved"), self.path("alone")
        self.run_it("--batch-size", 16, "--quiet", "--epochs", 1, "--save", saved, "--lr", 0.05)
        tensors, _ = read_safetensors(saved)
        write_safetensors(alone, {n: t for n, t in tensors.items() if re.match("conv|fc", n)}, {})
        expected = self.run_it("--quiet", "--epochs", 0, "--load", saved)
        for dtype in ("float32", "float64"):  # into which it is converted
            accuracy = self.run_it("--quiet", "--epochs", 0, "--load", alone, "--dtype", dtype)
            self.assertEqual(accuracy.splitlines()[0], expected.splitlines()[0])
        first = self.log("--quiet", "--no-eval", "--epochs", 1, "--load", alone)
        self.assertEqual(first[:2], "0 ")
        os.remove(saved)
        os.remove(alone)

    def test_a_checkpoint_that_does_not_fit_is_refused(self):
        saved, other, log = self.path("saved"), self.path("other"), self.path("log of none")
        self.run_it("--batch-size", 16, "--quiet", "--no-eval", "--epochs", 1, "--save", saved)
        tensors, texts = read_safetensors(saved)

        def refused(sentence, *arguments, without=(), **changed):
            write_safetensors(other, {n: t for n, t in tensors.items() if n not in without}, {**texts, **changed})
            error = self.run_it("--load", other, "--log", log, "--epochs", 3, *arguments, status=1)
            self.assertIn(sentence, error)
            self.assertFalse(os.path.exists(log))

        within = {"epoch": "0", "batch": "4"}
        refused("holds a run in float32, which does not go on in float64", "--dtype", "float64")
        refused("stopped within an epoch of 200 images in batches of 16, which does not go on with 200 images in "
                "batches of 20", "--batch-size", "20", **within)  # fmt: skip
        refused("does not go on with 100 images in batches of 16", "--limit", "100", **within)
        refused("4000 batches cannot be passed over", epoch="0", batch="4000")
        refused('the checkpoint is damaged: its step is "many"', step="many")
        refused('the checkpoint is damaged: its epoch is "-1"', epoch="-1")
        refused('the checkpoint is damaged: its dropout is "2"', dropout="2")
        refused("is damaged: no run has such settings", batch_size="0")
        refused("it has no epoch_rng_state", without=["epoch_rng_state"], **within)
        refused("fc4.0.bias", without=["fc4.0.bias"])
        tensors["conv9.0.weight"] = tensors.pop("conv1.0.weight")
        refused("conv9.0.weight")
        tensors["conv1.0.weight"] = tensors.pop("conv9.0.weight")
        tensors["rng_state"] = ("U8", [16], bytes(16))
        refused("5056")
        os.remove(saved)
        os.remove(other)

    def test_interrupted_it_finishes_the_step_and_saves(self):
        for stop in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(stop):
                self.check_interrupt(stop)

    def check_interrupt(self, stop):
        run = ("--batch-size", 2, "--lr", 0.01, "--quiet", "--no-eval", "--epochs", 4)
        whole = self.log(*run)
        saved, log = self.path("stopped"), self.path("log")
        os.remove(log)
        command = [PROGRAM, "--data", self.path("data"), "--save", saved, "--log", log, *map(str, run)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        while not os.path.exists(log) or os.path.getsize(log) < 300:  # some twenty steps
            time.sleep(0.001)
            self.assertIsNone(process.poll())
        process.send_signal(stop)
        output = process.communicate()[0]
        with open(log) as file:
            first = file.read()
        self.assertEqual(process.returncode, 128 + stop)
        if len(first.splitlines()) % 100:
            self.assertRegex(output, r"Stopped in epoch \d, after %d minibatches\.\n\Z" % (len(first.splitlines()) % 100))
        self.assertLess(len(first), len(whole))
        self.assertEqual(first + self.log(*run, "--load", saved), whole)
        os.remove(saved)

    def test_no_epochs_print_the_network_and_evaluate_it(self):
        output = self.run_it("--epochs", 0)
        self.assertTrue(output.startswith(NETWORK))
        self.assertRegex(output, r"\nAccuracy of the network on the 40 test images: \d+\.\d\d %\n")
        self.assertNotIn("Epoch", output)

    def test_a_class_that_is_never_predicted_is_pointed_out(self):
        output = self.run_it("--epochs", 1, "--lr", 1000, "--quiet")  # which kills the network
        self.assertRegex(output, r"Never predicted: class \d(, \d)*\. The ReLU on the logits .* another --seed\.\n")

    def test_data_may_be_packed_in_torchvisions_place(self):
        run = ("--epochs", 1, "--batch-size", 50, "--no-eval", "--quiet")
        self.assertEqual(self.log(*run, data="packed"), self.log(*run))

    def test_threads_do_not_change_the_numbers(self):
        run = ("--epochs", 1, "--batch-size", 50, "--no-eval", "--quiet")
        self.assertEqual(self.log(*run, "--threads", 1), self.log(*run, "--threads", 3))

    def test_a_progress_bar_is_for_a_terminal(self):
        def on_terminal(*arguments):
            master, slave = pty.openpty()
            command = [PROGRAM, "--data", self.path("data"), "--epochs", "1", "--batch-size", "50", "--no-eval", *arguments]
            process = subprocess.Popen(command, stdin=slave, stdout=slave)
            os.close(slave)
            output = b""
            while True:
                try:
                    output += os.read(master, 4096)
                except OSError:  # the other end is closed
                    break
            os.close(master)
            self.assertEqual(process.wait(), 0)
            return output

        self.assertIn(b"] 100 %", on_terminal())
        self.assertNotIn(b"\r", on_terminal("--quiet").replace(b"\r\n", b"\n"))
        self.assertNotIn("\r", self.run_it("--epochs", 1, "--batch-size", 50, "--no-eval"))

    def test_wrong_command_lines_end_with_a_sentence_and_status_2(self):
        for arguments, sentence in (
            (("--bogus",), "mnist_cnn: unknown option --bogus (mnist_cnn --help lists the options)\n"),
            (("--bogus=1",), "unknown option --bogus=1 "),
            (("-qx",), "unknown option -q "),
            (("--quiet=yes",), "--quiet=yes: this option takes no value"),
            (("surplus",), 'what is "surplus" to mean?'),
            (("--epochs",), "--epochs wants a value"),
            (("--epochs", "x"), '--epochs wants a whole number, not "x"'),
            (("--epochs", "-1"), "--epochs must be 0 to 2147483647, not -1"),
            (("--batch-size", "0"), "--batch-size must be 1 to"),
            (("--limit", "0"), "--limit must be 1 to"),
            (("--threads", "0"), "--threads must be 1 to 256, not 0"),
            (("--lr", "-0.1"), "--lr must be 0 to"),
            (("--lr", "nan"), "--lr must be 0 to"),
            (("--dropout", "1.5"), "--dropout must be 0 to 1, not 1.5"),
            (("--dtype", "float16"), "--dtype must be float32 or float64"),
            (("--device", "tpu"), "'tpu' is not a device"),
            (("--graph",), "--graph wants --device cuda"),
            (("--seed", "1.5"), "--seed wants a whole number"),
            (("--seed", "18446744073709551616"), "--seed must be -2^63 to 2^64 - 1"),
            (("--lr=0.1x",), '--lr wants a number, not "0.1x"'),
            (("--lr=",), '--lr wants a number, not ""'),
            (("--epochs", "99999999999999999999"), "--epochs must be 0 to"),
            (("--save", ""), "--save wants a path"),
            (("--load=",), "--load wants a path"),
        ):
            with self.subTest(arguments):
                error = self.run_it(*arguments, status=2)
                self.assertIn(sentence, error)
                self.assertEqual(error.count("\n"), 1)

    def test_every_option_takes_its_value_behind_an_equals_sign_too(self):
        settings = {"epochs": 1, "batch-size": 50, "lr": 0.1, "seed": 5, "device": "cpu", "dtype": "float64", "dropout": 0.1,
                    "limit": 100, "threads": 1}  # fmt: skip
        apart = [word for name, value in settings.items() for word in (f"--{name}", value)]
        joined = [f"--{name}={value}" for name, value in settings.items()]
        self.assertEqual(self.log("--quiet", "--no-eval", *apart), self.log("--quiet", "--no-eval", *joined))

    def test_what_cannot_be_done_ends_with_a_sentence_and_status_1(self):
        with open(self.path("nonsense"), "wb") as file:
            file.write(b"nonsense")
        for arguments, sentence in (
            (("--data", self.path("nowhere")), "nowhere: No such file or directory"),
            (("--data", self.path("nonsense")), "nonsense: Not a directory"),
            (("--device", "cuda"), "cuda:0 is not available"),
            (("--load", self.path("nowhere")), "No such file or directory"),
            (("--load", self.path("nonsense")), "nonsense: "),
            (("--epochs", 0, "--save", self.path("nowhere", "x")), "No such file or directory"),
            (("--save", self.path("data")), "data: it is not a file"),
            (("--log", self.path("nowhere", "x")), "No such file or directory"),
            (("--log", self.path("data")), "data: Is a directory"),
            (("--epochs", 1, "--quiet", "--log", "/dev/full"), "not all of the log could be written to /dev/full"),
        ):
            with self.subTest(arguments):
                error = self.run_it(*arguments, status=1)
                self.assertTrue(error.startswith("mnist_cnn: "), error)
                self.assertIn(sentence, error)
                self.assertEqual(error.count("\n"), 1)
        os.remove(self.path("nonsense"))

    def test_a_folder_without_the_files_and_no_network(self):
        os.mkdir(self.path("empty"))
        nowhere = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy", "all_proxy")}
        error = self.run_it(data="empty", status=1, **nowhere)
        self.assertRegex(error, r"\Amnist_cnn: .*(could not be downloaded|takes libcurl).*\n\Z")
        self.assertEqual(os.listdir(self.path("empty")), [])
        os.rmdir(self.path("empty"))

    def test_what_cannot_be_saved_is_known_before_it_is_trained(self):
        log = self.path("log of none")
        self.run_it("--save", self.path("nowhere", "x"), "--log", log, status=1)
        self.assertFalse(os.path.exists(log))

    def test_output_that_goes_nowhere_is_an_error(self):
        for arguments in (("--epochs", "0"), ("--help",)):
            with open("/dev/full", "w") as full:
                command = [PROGRAM, "--data", self.path("data"), *arguments]
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, "mnist_cnn: not everything could be written to the standard output\n")

    def test_without_standard_streams_it_trains_all_the_same(self):
        command = [PROGRAM, "--data", self.path("data"), "--epochs", "1", "--quiet", "--no-eval", "--log", self.path("log")]
        expected = self.log(*command[3:-2])
        for closed in ("<&- >&- 2>&-", ">&-", "2>&-"):
            self.assertEqual(subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], stdout=subprocess.DEVNULL).returncode, 0)
            with open(self.path("log")) as file:
                self.assertEqual(file.read(), expected)

    def test_help_names_every_option(self):
        text = self.run_it("--help")
        for option in ("epochs batch-size lr seed device graph no-graph dtype data dropout limit threads no-eval save load log quiet help").split():
            self.assertIn(f"  --{option} ", text)


unittest.main(argv=sys.argv[:1])
