"""What all tests share: no network, and small parameters."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.vectors.writer import VectorWriter

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as shells start their background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs of the engines come first, so that no process waits for another that still has them before it."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture
def dense_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows (N, d) as a complete file of vectors."""

    def write(rows: np.ndarray, name: str = "vectors.h5") -> Path:
        path = tmp_path / name
        with VectorWriter(path, "eeg", {"vectors": (rows.shape[1:], str(rows.dtype))}) as writer:
            writer.append(vectors=rows)
        return path

    return write


@pytest.fixture
def data(dense_file) -> Path:
    """A file of 700 vectors of noise, of size 10."""
    return dense_file(np.random.default_rng(0).standard_normal((700, 10), dtype=np.float32))
