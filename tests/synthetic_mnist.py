"""A small data set in MNIST's files, the same everywhere: digits are bright bars whose place says which digit it is."""
import gzip
import os
import struct

SIDE = 28


def images(n, seed):
    """n images and their labels, as bytes, from a linear congruential generator."""
    state, pixels, labels = seed, bytearray(), bytearray()
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        label = (state >> 33) % 10
        labels.append(label)
        for row in range(SIDE):
            for column in range(SIDE):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                noise = (state >> 40) % 100
                on_bar = column // 3 == label if label < 9 else row < 4
                pixels.append(noise + (150 if on_bar else 0))
    return bytes(pixels), bytes(labels)


def write(folder, n_train=200, n_test=40, packed=False):
    """Puts the four files into the folder, compressed if `packed`."""
    os.makedirs(folder, exist_ok=True)
    for name, n, seed in (("train", n_train, 1), ("t10k", n_test, 2)):
        pixels, labels = images(n, seed)
        files = (
            (f"{name}-images-idx3-ubyte", struct.pack(">IIII", 0x803, n, SIDE, SIDE) + pixels),
            (f"{name}-labels-idx1-ubyte", struct.pack(">II", 0x801, n) + labels),
        )
        for file, content in files:
            if packed:
                file, content = file + ".gz", gzip.compress(content)
            with open(os.path.join(folder, file), "wb") as out:
                out.write(content)
