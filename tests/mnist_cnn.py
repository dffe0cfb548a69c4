#!/usr/bin/env python3
"""mnist_cnn.py PROGRAM DATA: the example mnist_cnn on a small data set: its lines, its options, and its losses against PyTorch's
(DATA/mnist_cnn_losses.txt, recorded by tools/record-mnist-cnn.py)."""
import os
import pty
import re
import signal
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

    def run_it(self, *arguments, status=0, data="data"):
        """What it prints on standard output, or, where it is to fail, on standard error."""
        command = [PROGRAM, "--data", self.path(data), *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
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
        run = ("--batch-size", 16, "--lr", 0.05, "--quiet")
        whole = self.log(*run, "--epochs", 3)
        first = self.log(*run, "--epochs", 1, "--save", self.path("saved"))
        rest = self.log(*run, "--epochs", 3, "--load", self.path("saved"), "--seed", 99)
        self.assertEqual(first + rest, whole)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["data", "log", "packed", "saved"])
        os.remove(self.path("saved"))

    def test_interrupted_it_finishes_the_step_and_saves(self):
        run = ("--batch-size", 2, "--lr", 0.01, "--quiet", "--no-eval", "--epochs", 4)
        whole = self.log(*run)
        saved, log = self.path("stopped"), self.path("log")
        os.remove(log)
        command = [PROGRAM, "--data", self.path("data"), "--save", saved, "--log", log, *map(str, run)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        while not os.path.exists(log) or os.path.getsize(log) < 300:  # some twenty steps
            time.sleep(0.001)
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0]
        with open(log) as file:
            first = file.read()
        self.assertEqual(process.returncode, 130)
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
            (("--bogus",), "mnist_cnn: unknown option --bogus\n\nusage: mnist_cnn [OPTION]..."),
            (("surplus",), 'what is "surplus" to mean?\n\nusage: '),
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
            (("--seed", "18446744073709551616"), "--seed must be -2^63 to 2^64 - 1"),
            (("--seed", "1.5"), "--seed wants a whole number"),
            (("--save", ""), "--save wants a path"),
        ):
            with self.subTest(arguments):
                self.assertIn(sentence, self.run_it(*arguments, status=2))

    def test_what_cannot_be_done_ends_with_a_sentence_and_status_1(self):
        with open(self.path("nonsense"), "wb") as file:
            file.write(b"nonsense")
        for arguments, sentence in (
            (("--data", self.path("nowhere")), "train-images-idx3-ubyte is not there (tried"),
            (("--device", "cuda"), "cuda:0 is not available"),
            (("--load", self.path("nowhere")), "No such file or directory"),
            (("--load", self.path("nonsense")), "nonsense: "),
            (("--epochs", 0, "--save", self.path("nowhere", "x")), "No such file or directory"),
            (("--log", self.path("nowhere", "x")), "No such file or directory"),
        ):
            with self.subTest(arguments):
                error = self.run_it(*arguments, status=1)
                self.assertTrue(error.startswith("mnist_cnn: "), error)
                self.assertIn(sentence, error)
                self.assertEqual(error.count("\n"), 1)
        os.remove(self.path("nonsense"))

    def test_help_names_every_option(self):
        text = self.run_it("--help")
        for option in ("epochs batch-size lr seed device dtype data dropout limit threads no-eval save load log quiet help").split():
            self.assertIn(f"  --{option} ", text)


unittest.main(argv=sys.argv[:1])
