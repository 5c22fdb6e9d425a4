"""Independent streams of random numbers, one per purpose."""

import hashlib

import numpy as np
import torch


def stream_seed(purpose: str, *keys: int) -> int:
    """63-bit seed for one purpose (`"weights"`, `"order"`, …) and its keys.

    Streams of different purposes are independent even if their keys are equal. Otherwise features and weights of one seed would
    be equal: the initial weights would be a copy of the truth.
    """
    text = ":".join([purpose, *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_stream(purpose: str, *keys: int) -> torch.Generator:
    """CPU generator for `purpose` and `keys`; GPU runs use it too, for the same numbers."""
    return torch.Generator().manual_seed(stream_seed(purpose, *keys))


def numpy_stream(purpose: str, *keys: int) -> np.random.Generator:
    """Numpy generator for `purpose` and `keys`."""
    return np.random.default_rng(stream_seed(purpose, *keys))
