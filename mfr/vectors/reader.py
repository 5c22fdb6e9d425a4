"""Read vectors from an HDF5 file, in order or in shuffled batches.

A file holds either dense rows, `/vectors (N, d)`, or sparse codes of known features: `/features (G, d)`,
`/active (N, a)` and `/coefficients (N, a)`, where row n is Σ_j coefficients[n, j] · features[active[n, j]].
Further datasets of N rows tell where each row comes from. The attributes `rows_sha256`, of all of these, and `complete` are set
last. A file with the attribute `drawn` has no rows: it holds the parameters by which its source draws codes.
"""

import json
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import torch

from mfr.compute.seeds import numpy_stream
from mfr.compute.sparse import combine
from mfr.compute.threads import aligned
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import deferred
from mfr.sources.source import source

BLOCKS_A_BATCH = 8
BATCHES_A_POOL = 8


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
        self.drawn = "drawn" in self.file.attrs
        if self.rows == 0 and not self.drawn:
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
        rows = self._drawn(batch, seed, first * batch) if self.drawn else self._shuffled(batch, seed, first * batch)
        yield from map(torch.from_numpy, rows)

    def _drawn(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        assert self.features is not None
        draw = source(self.source).draw(self.fact("drawn"), seed)
        for row in count(first, batch):
            yield combine(self.features.numpy(), *draw(row, batch))

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
