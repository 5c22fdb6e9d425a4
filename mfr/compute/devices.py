"""Device and number of threads of a computation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mfr.runtime.errors import UserError


def resolve_device(name: str) -> torch.device:
    """Torch device for `execution.device`; `auto` is a GPU if there is one.

    Raises `UserError` for `cuda` without a GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("execution.device = cuda, but torch finds no GPU; use auto or cpu")
    return torch.device(("cuda" if available else "cpu") if name == "auto" else name)


def limit_threads(n: int) -> None:
    """Use `n` threads in torch and compiled loops, or one per core of this process if fewer."""
    torch.set_num_threads(min(n, len(os.sched_getaffinity(0))))


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid TensorFloat-32 rounding of the factors of float32 products on a GPU."""
    torch.backends.cuda.matmul.allow_tf32 = allowed


@contextmanager
def without_tf32() -> Iterator[None]:
    """Forbid `allow_tf32` within the block, or the decorated function."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    allow_tf32(False)
    try:
        yield
    finally:
        allow_tf32(allowed)
