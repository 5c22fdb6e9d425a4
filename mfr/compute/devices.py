"""Where tensors live and how many threads compute."""

import os

import torch

from mfr.runtime.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device of `execution.device`; `auto` is a GPU where there is one.

    Raises `UserError` where `cuda` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("execution.device is cuda, but torch sees no GPU: use auto or cpu")
    return torch.device(("cuda" if available else "cpu") if name == "auto" else name)


def limit_threads(n: int) -> None:
    """Let torch and compiled loops compute with `n` threads, or as many as this process has cores."""
    torch.set_num_threads(min(n, len(os.sched_getaffinity(0))))


def allow_tf32(allowed: bool) -> None:
    """Let a GPU round the factors of float32 products to TensorFloat-32, or forbid it."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
