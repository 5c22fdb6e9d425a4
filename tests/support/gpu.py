"""Tests that need a GPU: `pytest -m cuda` selects them, and they are skipped where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
import torch

CUDA = torch.device("cuda")
Test = TypeVar("Test", bound=Callable[..., None])


def needs_gpu(test: Test) -> Test:
    """Mark a test as `cuda`, and skip it without a GPU."""
    skipped = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
    return pytest.mark.cuda(skipped(test))


@contextmanager
def without_waiting() -> Iterator[None]:
    """Raise `RuntimeError` if the CPU waits for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
