"""The notebook's network and loop in PyTorch: what the recordings of tools/record-mnist-cnn.py and the comparison of
benchmarks/torch_cases.py are made with."""

import torch
from torch import nn


class Cnn(nn.Module):
    """conv 1-10-20, pool, dropout, linear 2000-100-10; the last ReLU is the notebook's."""

    def __init__(self, num_input_channels, dropout=0.25):
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


def to_images(pixels):
    """(N, 28, 28) uint8 to what ToTensor and Normalize((0.5,), (0.5,)) make of it."""
    return pixels.unsqueeze(1).to(torch.float32).div(255).sub_(0.5).div_(0.5)


def train_epoch(net, optimizer, loss_function, loader, dtype):
    """One pass over the loader; yields each step's loss."""
    net.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = loss_function(net(images.to(dtype)), labels)
        loss.backward()
        optimizer.step()
        yield loss


def count_correct(net, loader, dtype):
    """How many images of the loader are recognised."""
    net.eval()
    with torch.no_grad():
        return sum(int((net(images.to(dtype)).max(1).indices == labels).sum()) for images, labels in loader)
