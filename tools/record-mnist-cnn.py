#!/usr/bin/env python3
"""Records PyTorch's losses and accuracies for the MNIST CNN on synthetic images: tests/data/mnist_cnn_losses.txt, for
tests/mnist_cnn.py.

Usage: tools/record-mnist-cnn.py [FILE]; wants an installed torch. A run is a line "run SEED DTYPE DROPOUT LR", then a
line for each step (its number, the loss) and after each epoch one with the number of test images that were recognised.
"""

import os
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "tests")]
import synthetic_mnist  # noqa: E402
import torch_mnist  # noqa: E402

EPOCHS, BATCH_SIZE = 3, 16


def dataset(n, seed):
    pixels, labels = synthetic_mnist.images(n, seed)
    x = torch.tensor(list(pixels), dtype=torch.uint8).view(n, synthetic_mnist.SIDE, synthetic_mnist.SIDE)
    return TensorDataset(torch_mnist.to_images(x), torch.tensor(list(labels)))


def run(file, seed, dtype, dropout, lr):
    print("run", seed, str(dtype).removeprefix("torch."), dropout, lr, file=file)
    torch.manual_seed(seed)
    train_loader = DataLoader(dataset(200, 1), batch_size=BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(dataset(40, 2), batch_size=40, shuffle=False)
    net = torch_mnist.Cnn(1, dropout).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss_function = nn.CrossEntropyLoss()
    step = 0
    for _ in range(EPOCHS):
        for loss in torch_mnist.train_epoch(net, optimizer, loss_function, train_loader, dtype):
            print(step, "%.17g" % loss.item(), file=file)
            step += 1
        print("correct", torch_mnist.count_correct(net, test_loader, dtype), file=file)


def main():
    with open(sys.argv[1] if len(sys.argv) > 1 else "tests/data/mnist_cnn_losses.txt", "w") as file:
        for seed in (3, 2**40 + 17):
            run(file, seed, torch.float64, 0.25, 0.05)
            run(file, seed, torch.float64, 0.0, 0.05)
            run(file, seed, torch.float32, 0.0, 0.01)


main()
