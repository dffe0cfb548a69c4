#!/usr/bin/env python3
"""Records PyTorch's losses and accuracies for the MNIST CNN on synthetic images: tests/data/mnist_cnn_losses.txt, for
tests/mnist_cnn.py.

Usage: tools/record-mnist-cnn.py [FILE]; wants an installed torch. A run is a line "run SEED DTYPE DROPOUT LR", then a line for each step
(its number, the loss) and after each epoch one with the number of test images that were recognised.
"""
import os
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
import synthetic_mnist  # noqa: E402

EPOCHS, BATCH_SIZE = 3, 16


class Cnn(nn.Module):
    def __init__(self, num_input_channels, dropout):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(num_input_channels, 10, kernel_size=5, stride=1, padding=0), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(10, 20, kernel_size=5, stride=1, padding=0), nn.ReLU())
        self.maxpool = nn.MaxPool2d((2, 2))
        self.drop = nn.Dropout2d(p=dropout, inplace=False)
        self.fc3 = nn.Sequential(nn.Linear(20 * 10 * 10, 100), nn.ReLU())
        self.fc4 = nn.Sequential(nn.Linear(100, 10), nn.ReLU())

    def forward(self, x):
        x = self.conv1(x)
        x = self.conv2(x)
        x = self.maxpool(x)
        x = self.drop(x)
        x = x.view(-1, 20 * 10 * 10)
        x = self.fc3(x)
        return self.fc4(x)


def dataset(n, seed):
    pixels, labels = synthetic_mnist.images(n, seed)
    x = torch.tensor(list(pixels), dtype=torch.uint8).view(n, 1, synthetic_mnist.SIDE, synthetic_mnist.SIDE)
    x = x.to(torch.float32).div(255).sub_(0.5).div_(0.5)
    return TensorDataset(x, torch.tensor(list(labels)))


def run(file, seed, dtype, dropout, lr):
    print("run", seed, str(dtype).removeprefix("torch."), dropout, lr, file=file)
    torch.manual_seed(seed)
    train_loader = DataLoader(dataset(200, 1), batch_size=BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(dataset(40, 2), batch_size=40, shuffle=False)
    net = Cnn(1, dropout).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss_function = nn.CrossEntropyLoss()
    step = 0
    for _ in range(EPOCHS):
        net.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = loss_function(net(images.to(dtype)), labels)
            loss.backward()
            optimizer.step()
            print(step, "%.17g" % loss.item(), file=file)
            step += 1
        net.eval()
        with torch.no_grad():
            for images, labels in test_loader:
                print("correct", int((net(images.to(dtype)).max(1).indices == labels).sum()), file=file)


def main():
    with open(sys.argv[1] if len(sys.argv) > 1 else "tests/data/mnist_cnn_losses.txt", "w") as file:
        for seed in (3, 2**40 + 17):
            run(file, seed, torch.float64, 0.25, 0.05)
            run(file, seed, torch.float64, 0.0, 0.05)
            run(file, seed, torch.float32, 0.0, 0.01)


main()
