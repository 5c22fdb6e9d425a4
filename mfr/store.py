"""Vectors on disk: an HDF5 writer and a block-shuffled reader.

A file holds either dense rows, `/vectors (N, d)`, or sparse codes of known features: `/features (G, d)`,
`/active (N, a)` and `/coefficients (N, a)`, where row n is Σ_j coefficients[n, j] · features[active[n, j]].
Further datasets of N rows tell where each row comes from. The attributes `rows_sha256`, of all of these, and `complete` are set
last. A file with the attribute `drawn` holds how codes are drawn in place of those for training.
"""

import hashlib
import io
import json
from collections.abc import Generator, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import torch
from typing_extensions import Buffer

from mfr.errors import UserError
from mfr.interruption import deferred
from mfr.loops import aligned
from mfr.params import GenerateSynthetic
from mfr.seeds import numpy_stream, stream_seed
from mfr.synthetic import codes, combine

CHUNK_BYTES = 1 << 15
BLOCKS_A_BATCH = 8
BATCHES_A_POOL = 8


class VectorWriter:
    """Appends rows to a file at `path`; a context manager.

    `columns` names the datasets and gives one row's shape and type, for example
    `{"vectors": ((768,), "float16"), "token_ids": ((), "int32")}`.
    """

    @deferred()
    def __init__(self, path: Path, source: str, columns: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
        self.sink = _Sink(path, "w+")
        self.file = h5py.File(self.sink, "w")
        self.file.attrs["source"] = source
        self.file.attrs["complete"] = False
        self.rows = 0
        for name, (shape, dtype) in columns.items():
            row_bytes = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
            chunk = max(1, CHUNK_BYTES // row_bytes)
            self.file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape))
        self.columns = list(columns)
        self.digests = {name: hashlib.sha256() for name in columns}

    @deferred()
    def append(self, **rows: np.ndarray) -> None:
        """Add rows, an equal number to every column.

        Raises `UserError` where a finite value overflows the column's type, `OSError` where the disk is full, and
        `ValueError` for a column too few.
        """
        if set(rows) != set(self.columns) or len({len(values) for values in rows.values()}) != 1:
            raise ValueError(f"every column of {self.columns} needs equally many rows")
        end = self.rows + len(next(iter(rows.values())))
        for name, values in rows.items():
            dataset = self.file[name]
            if dataset.dtype == np.float16 and _overflows(values):
                raise UserError(f"{name}: a value overflows float16 after row {self.rows}: store these vectors as float32")
            stored = np.ascontiguousarray(values, dataset.dtype)
            dataset.resize(end, axis=0)
            dataset[self.rows : end] = stored
            self.digests[name].update(stored.tobytes())
        self.rows = end
        self.sink.check()

    @deferred()
    def describe(self, name: str, value: str | float) -> None:
        """Store a fact that is needed to make the file again, as an attribute."""
        self.file.attrs[name] = value

    @deferred()
    def attach(self, name: str, array: np.ndarray) -> None:
        """Store an array that is no column, such as the true features."""
        self.file[name] = array

    def __enter__(self) -> "VectorWriter":
        return self

    @deferred()
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            digests = "".join(self.digests[name].hexdigest() for name in sorted(self.digests))
            self.file.attrs["rows_sha256"] = hashlib.sha256(digests.encode()).hexdigest()
            self.file.attrs["complete"] = True
        self.file.close()
        self.sink.close()
        if kind is None:
            self.sink.check()


def _overflows(values: np.ndarray) -> bool:
    largest = np.finfo(np.float16).max
    return values.dtype != np.float16 and bool((np.abs(values[np.isfinite(values)]) > largest).any())


class _Sink(io.FileIO):
    """A file that keeps its first failed write for `check` and swallows the rest.

    HDF5 cannot close a file on a full disk: it tries again when the process ends, and crashes it.
    """

    failed: OSError | None = None

    def check(self) -> None:
        """Raise the first failure."""
        if self.failed is not None:
            raise OSError(self.failed.errno, self.failed.strerror, str(self.name))

    def write(self, data: Buffer) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.failed is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failed = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0


class Vectors:
    """Rows of a file, read as float32; a context manager.

    Raises `UserError` for a file that is missing, cut short, unfinished or without rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = h5py.File(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except OSError as error:
            raise UserError(f"{path}: not a whole HDF5 file ({error}): delete it and run its stage again") from None
        if not self.file.attrs.get("complete", False):
            raise UserError(f"{path}: unfinished (attribute complete is not set): delete it and run its stage again")
        self.features = torch.from_numpy(self.attached("features")) if "features" in self.file else None
        rows = self.file["vectors" if self.features is None else "active"]
        self.rows, self.size = len(rows), rows.shape[1] if self.features is None else self.features.shape[1]
        self.drawn = GenerateSynthetic.model_validate_json(self.fact("drawn")) if "drawn" in self.file.attrs else None
        if self.rows == 0 and self.drawn is None:
            raise UserError(f"{path}: holds no vectors")
        self.source = self.fact("source")

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop` (excluded), (stop − start, d) float32.

        Raises `UserError` naming the first row that holds NaN or infinity.
        """
        return torch.from_numpy(self._read(start, stop))

    def _read(self, start: int, stop: int) -> np.ndarray:
        if self.features is not None:
            rows = combine(self.features.numpy(), self.file["active"][start:stop], self.file["coefficients"][start:stop])
        else:
            rows = self.file["vectors"][start:stop].astype(np.float32)
        if not np.isfinite(rows.sum()):
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                raise UserError(f"{self.path}: row {start + int(bad[0])} holds NaN or infinity: make the file again")
        return rows

    @deferred()
    def identity(self) -> str:
        """What tells these vectors from others: the file's size, all that is needed to make it again, and its rows' hash."""
        facts = {name: str(value) for name, value in sorted(self.file.attrs.items())}
        return json.dumps([self.path.stat().st_size, facts])

    def fact(self, name: str) -> str:
        """A fact that `VectorWriter.describe` stored."""
        return str(self.file.attrs[name])

    def column(self, name: str, rows: slice | np.ndarray) -> np.ndarray:
        """A column's values at some rows, whose numbers rise."""
        return self.file[name][rows]

    def attached(self, name: str) -> np.ndarray:
        """An array that `VectorWriter.attach` stored."""
        return self.file[name][:]

    def sequential(self, batch: int) -> Iterator[torch.Tensor]:
        """All rows in order, `batch` at a time; the last batch may be smaller."""
        for start in range(0, self.rows, batch):
            yield self.read(start, min(start + batch, self.rows))

    def batches(self, batch: int, seed: int, first: int = 0) -> Generator[torch.Tensor]:
        """Endless batches (batch, d) for training, from batch number `first` on; they depend on `seed` and number alone.

        The rows of the file in shuffled order, each once an epoch; or rows that are drawn as they are used.
        """
        rows = self._shuffled(batch, seed, first * batch) if self.drawn is None else self._drawn(batch, seed, first * batch)
        yield from map(torch.from_numpy, rows)

    def _drawn(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        assert self.drawn is not None and self.features is not None
        stream = stream_seed("vectors drawn", self.drawn.seed, seed)
        for row in count(first, batch):
            yield combine(self.features.numpy(), *codes(self.drawn, stream, row, batch))

    def _shuffled(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        """Blocks of batch/8 neighbouring rows are drawn at random into a pool of 8 batches, which is permuted.

        Rows read one by one at random cost 10 to 50 times more.
        """
        begun, filled = aligned(batch, self.size), 0
        for pool, order in self._pools(batch, seed, first):
            while len(order):
                taken, order = np.split(order, [batch - filled])
                begun[filled : filled + len(taken)] = pool[taken]
                filled += len(taken)
                if filled == batch:
                    yield begun
                    begun, filled = aligned(batch, self.size), 0

    def _pools(self, batch: int, seed: int, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Neighbouring rows of blocks drawn at random, and the order in which they are used, from row number `first` on."""
        block = max(1, batch // BLOCKS_A_BATCH)
        starts = np.arange(0, self.rows, block)
        skipped_epochs, skip = divmod(first, self.rows)
        for epoch in count(skipped_epochs):
            order = numpy_stream("order", seed, epoch).permutation(starts)
            for pool, drawn in enumerate(_groups(order, BLOCKS_A_BATCH * BATCHES_A_POOL)):
                ends = np.minimum(drawn + block, self.rows)
                size = int((ends - drawn).sum())
                if skip >= size:
                    skip -= size
                    continue
                rows = np.empty((size, self.size), np.float32)
                for start, end, at in zip(drawn, ends, (ends - drawn).cumsum() - (ends - drawn)):
                    rows[at : at + end - start] = self._read(start, end)
                yield rows, numpy_stream("pool", seed, epoch, pool).permutation(size)[skip:]
                skip = 0

    def __enter__(self) -> "Vectors":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()


def _groups(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
