"""Numbers that the recording scripts and the suites (support_draw in tests/support.h) both make for themselves, from one recurrence; float32
holds them exactly."""

import torch


class Draw:
    def __init__(self, state=1):
        self.state = state

    def __call__(self, shape, dtype, scale=1.0):
        n = 1
        for size in shape:
            n *= size
        values = []
        for _ in range(n):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            values.append(((self.state >> 40) / 2**23 - 1) * scale)
        return torch.tensor(values, dtype=dtype).reshape(shape)
