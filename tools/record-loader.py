#!/usr/bin/env python3
"""Records in which order PyTorch's DataLoader gives its items: tests/data/loader_orders.txt, for tests/test_loader.c.

Usage: tools/record-loader.py [FILE]; wants an installed torch. A case is a line of numbers

    seed items batch_size shuffle drop_last own_generator draws stop epochs

then a line an epoch: how many batches, and a checksum of "index,index,...;" for each batch; in epochs 1, 3, ... the loop is left
after `stop` batches (0: never). After each batch `draws` numbers are drawn from the default generator, as dropout would, and
with an own generator one from that. Last comes a line with the next 64 bits of the default and of the own generator.
"""
import itertools
import sys
import zlib

import torch
from torch.utils.data import DataLoader

EPOCHS = 3


def next_bits(generator):
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def record(file, seed, items, batch_size, shuffle, drop_last, own, draws, stop, epochs):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1) if own else None
    loader = DataLoader(range(items), batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, generator=generator)
    print(seed, items, batch_size, int(shuffle), int(drop_last), int(own), draws, stop, epochs, file=file)
    for epoch in range(epochs):
        n, checksum = 0, 0
        for batch in loader:
            text = ",".join(map(str, batch.tolist())) + ";"
            checksum = zlib.crc32(text.encode(), checksum)
            n += 1
            torch.rand(draws)
            if own:
                torch.rand(1, generator=generator)
            if epoch % 2 and n == stop:
                break
        print(n, checksum, file=file)
    print(next_bits(None), next_bits(generator) if own else 0, file=file)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/data/loader_orders.txt"
    with open(path, "w") as file:
        for seed, (items, size), shuffle, drop_last, own, stop in itertools.product(
            (0, 7, 2**32 - 1, 2**63 + 5), ((10, 4), (12, 4), (3, 5), (1, 1), (101, 7)), (0, 1), (0, 1), (0, 1), (0, 1)
        ):
            record(file, seed, items, size, bool(shuffle), bool(drop_last), bool(own), 5, stop, EPOCHS)
        for seed in (1, 2):
            record(file, seed, 60000, 64, True, False, False, 1280, 0, 3)
            record(file, seed, 10000, 10000, False, False, False, 0, 0, 2)
            record(file, seed, 60000, 64, True, True, True, 0, 900, 2)


main()
