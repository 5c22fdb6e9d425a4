import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mfr.runtime.errors import UserError
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from tests.conftest import ROOT


def numbered(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.float32)[:, None] * np.ones(3, dtype=np.float32)


def test_rows_come_back_in_order(dense_file) -> None:
    with Vectors(dense_file(numbered(1000))) as vectors:
        assert (vectors.rows, vectors.size, vectors.source) == (1000, 3, "eeg")
        read = torch.cat(list(vectors.sequential(64)))
    assert torch.equal(read, torch.from_numpy(numbered(1000)))


def test_sparse_codes_are_read_as_sums_of_features(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((20, 6), dtype=np.float32)
    active = np.stack([random.permutation(20)[:4] for _ in range(50)]).astype(np.uint16)
    coefficients = random.random((50, 4), dtype=np.float32)
    path = tmp_path / "codes.h5"
    with VectorWriter(path, "synthetic", {"active": ((4,), "uint16"), "coefficients": ((4,), "float32")}) as writer:
        writer.attach("features", features)
        writer.append(active=active, coefficients=coefficients)
    codes = np.zeros((50, 20), dtype=np.float32)
    np.put_along_axis(codes, active.astype(int), coefficients, axis=1)
    with Vectors(path) as vectors:
        assert np.allclose(vectors.read(0, 50), codes @ features, atol=1e-5)


@pytest.mark.parametrize("rows", [640, 1003])
def test_each_row_is_seen_once_an_epoch(dense_file, rows: int) -> None:
    batch, epochs = 40, 3
    with Vectors(dense_file(numbered(rows))) as vectors:
        seen = torch.cat(list(islice(vectors.batches(batch, seed=0), rows * epochs // batch)))[:, 0]
    counts = Counter(seen.int().tolist())
    assert len(counts) == rows
    assert set(counts.values()) <= {epochs - 1, epochs} and sum(counts.values()) == rows * epochs // batch * batch


def test_rows_of_a_batch_come_from_the_whole_file(dense_file) -> None:
    rows, batch = 20_000, 100
    with Vectors(dense_file(numbered(rows))) as vectors:
        batches = [next_batch[:, 0].numpy() for next_batch in islice(vectors.batches(batch, seed=0), 50)]
    # The mean of a batch drawn from all rows has the standard deviation rows/√(12 · blocks), with at least 8 blocks in it.
    spread = np.std([values.mean() for values in batches])
    assert spread < 2 * rows / np.sqrt(12 * 8)
    assert np.mean([values.std() for values in batches]) == pytest.approx(rows / np.sqrt(12), rel=0.1)
    neighbours = np.mean([np.abs(np.diff(values)) == 1 for values in batches])
    assert neighbours < 0.05


def test_order_depends_on_seed_and_epoch_only(dense_file) -> None:
    with Vectors(dense_file(numbered(500))) as vectors:
        first, again, other = (torch.cat(list(islice(vectors.batches(50, seed), 20))) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other) and not torch.equal(first[:500], first[500:])


@pytest.mark.parametrize("first", [1, 7, 24, 25, 61])
def test_batches_can_be_had_from_any_number_on(dense_file, first: int) -> None:
    with Vectors(dense_file(numbered(1003))) as vectors:
        from_start = list(islice(vectors.batches(40, 3), first + 30))
        later = list(islice(vectors.batches(40, 3, first), 30))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(from_start[first:], later, strict=True))


def test_a_large_file_is_read_with_bounded_memory(dense_file) -> None:
    rows, size, batch = 200_000, 64, 100
    path = dense_file(np.zeros((rows, size), np.float32))
    with Vectors(path) as vectors:
        next(vectors.batches(batch, 0))
        tracemalloc.start()
        for _ in islice(vectors.batches(batch, 0), 200):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # Two pools of 8 batches, a batch and what HDF5 keeps, where the file has 2000 batches.
    assert peak < 40 * batch * size * 4


def test_unfinished_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    with pytest.raises(RuntimeError), VectorWriter(path, "eeg", {"vectors": ((3,), "float32")}) as writer:
        writer.append(vectors=numbered(5))
        raise RuntimeError
    with pytest.raises(UserError, match="incomplete"):
        Vectors(path)


def test_file_cut_short_is_refused(dense_file) -> None:
    path = dense_file(numbered(100_000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"vectors\.h5: cut short, with 609908 of 1220328 bytes"):
        Vectors(path)


def test_missing_and_empty_files_are_refused(tmp_path: Path, dense_file) -> None:
    with pytest.raises(UserError, match="no such file"):
        Vectors(tmp_path / "none.h5")
    with pytest.raises(UserError, match="has no vectors"):
        Vectors(dense_file(numbered(0)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_bad_row_is_named(dense_file, bad: float) -> None:
    rows = numbered(300)
    rows[[217, 250], 1] = bad
    with Vectors(dense_file(rows)) as vectors, pytest.raises(UserError, match="row 217 has NaN or infinity"):
        list(vectors.sequential(100))


def test_vectors_of_equal_shape_and_facts_are_distinguished_by_their_rows(dense_file) -> None:
    identities = []
    for rows in (numbered(1000), numbered(1000), numbered(1000)[::-1], np.concatenate([numbered(900), numbered(100)])):
        with Vectors(dense_file(np.ascontiguousarray(rows))) as vectors:
            identities.append(vectors.identity())
    assert len(set(identities)) == 3 and identities[0] == identities[1]


def test_overflow_of_float16_is_refused(tmp_path: Path) -> None:
    with VectorWriter(tmp_path / "v.h5", "eeg", {"vectors": ((3,), "float16")}) as writer:
        writer.append(vectors=numbered(10))
        with pytest.raises(UserError, match="store these vectors as float32"):
            writer.append(vectors=numbered(2) * 1e6)
        writer.append(vectors=numbered(1))
    with h5py.File(tmp_path / "v.h5") as file:
        assert len(file["vectors"]) == 11


SIGNALLED = """
import os, signal, sys
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import numpy as np

from mfr.vectors import writer as store
from mfr.runtime.interruption import Interrupted, Interruption
from mfr.runtime.files import writing

number, stopping, path = signal.Signals[sys.argv[1]], sys.argv[2] == "Interrupted", Path("vectors.h5")
signal.signal(signal.SIGINT, signal.default_int_handler)
plain, writes, signalled = store._Sink.write, count(), 0

def write(sink, data):
    if next(writes) == signalled:
        os.kill(os.getpid(), number)
    return plain(sink, data)

store._Sink.write = write
while not path.exists():
    writes = count()
    try:
        with writing(path) as [part], Interruption() if stopping else nullcontext():
            with store.VectorWriter(part, "eeg", {"vectors": ((64,), "float32"), "subject": ((), "int32")}) as writer:
                writer.attach("tokens", np.ones((50, 64)))
                for n in range(5):
                    writer.append(vectors=np.full((300, 64), n), subject=np.full(300, n))
                writer.describe("parameters", "x" * 5000)
    except Interrupted if stopping else KeyboardInterrupt:
        assert not path.exists() and not part.exists()
        signalled += 1
print(signalled, next(writes))
"""


@pytest.mark.parametrize("number, error", [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Interrupted")])
def test_a_signal_in_any_write_stops_in_good_order(tmp_path: Path, number: str, error: str) -> None:
    """A process of its own, which may crash: each try is signalled one write later, until one ends before its signal."""
    words = [sys.executable, "-c", SIGNALLED, number, error]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, "")
    signalled, writes = map(int, done.stdout.split())
    assert signalled == writes > 10
    with Vectors(tmp_path / "vectors.h5") as vectors:
        assert torch.equal(vectors.read(0, 1500)[:, 0], torch.arange(5.0).repeat_interleave(300))


def test_columns_must_be_equally_long(tmp_path: Path) -> None:
    with VectorWriter(tmp_path / "v.h5", "eeg", {"vectors": ((3,), "float32"), "subject": ((), "int32")}) as writer:
        with pytest.raises(ValueError, match="the same number of rows"):
            writer.append(vectors=numbered(3), subject=np.zeros(2))
        with pytest.raises(ValueError, match="the same number of rows"):
            writer.append(vectors=numbered(3))


def test_a_file_in_a_folder_like_a_sources_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dense_file) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("data/mine/train.h5")
    place.parent.mkdir(parents=True)
    dense_file(np.ones((3, 2), np.float32)).rename(place)
    with Vectors(place) as vectors:
        assert vectors.rows == 3
