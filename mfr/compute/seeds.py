"""Independent streams of random numbers, one a purpose."""

import hashlib

import numpy as np
import torch


def stream_seed(purpose: str, *keys: int) -> int:
    """A 63-bit seed for one purpose (`"weights"`, `"order"`, …) and its keys.

    Streams of different purposes are independent even for equal keys: features and weights drawn from equal
    seeds would make the initial weights a copy of the truth.
    """
    text = ":".join([purpose, *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_stream(purpose: str, *keys: int) -> torch.Generator:
    """A CPU generator for `purpose` and `keys`, so that a GPU run starts from the CPU run's numbers."""
    return torch.Generator().manual_seed(stream_seed(purpose, *keys))


def numpy_stream(purpose: str, *keys: int) -> np.random.Generator:
    """A numpy generator for `purpose` and `keys`."""
    return np.random.default_rng(stream_seed(purpose, *keys))
