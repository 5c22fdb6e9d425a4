"""Read vectors from an HDF5 file, in order or in shuffled batches.

A file contains either dense rows, `/vectors (N, d)`, or sparse codes of known features: `/features (G, d)`, `/active (N, a)`
and `/coefficients (N, a)`. Row n is then Σ_j coefficients[n, j] · features[active[n, j]]. Other datasets of N rows describe the
origin of each row. The first bytes are a seal; see `mfr.vectors.seal`. A file with the attribute `drawn` has no rows: the
attribute contains the parameters with which its source draws codes.
"""

import hashlib
import json
import re
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
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import deferred
from mfr.sources.source import Source, source
from mfr.vectors.seal import checked

BLOCKS_A_BATCH = 8
BATCHES_A_POOL = 8
OF_A_SPLIT = ("split", "drawn")  # facts that differ from split to split


class Vectors:
    """Context manager that reads the rows of a file as float32.

    Raises `UserError` for a file that is missing, unreadable, open for writing elsewhere, damaged, unfinished, without rows, or
    in the pipeline's place of other vectors.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = paths.expanded(path)
        self.stage = _stage(path)
        self._sha256 = checked(path, self.stage)
        try:
            self.file = h5py.File(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read as HDF5 ({_reason(error)}); run {self.stage} again") from None
        try:
            self._check()
        except BaseException:
            self.file.close()
            raise

    def _check(self) -> None:
        """Read the file's shape; `UserError` if it lacks what every file of vectors has."""
        self.source = self.fact("source")
        self._check_place()
        self.features = torch.from_numpy(self.attached("features")) if "features" in self.file else None
        rows = self._dataset("vectors" if self.features is None else "active", ndim=2)
        self.rows, self.size = len(rows), rows.shape[1] if self.features is None else self.features.shape[-1]
        self.drawn = "drawn" in self.file.attrs
        columns = {name: dataset for name, dataset in self.file.items() if dataset.maxshape[0] is None}
        uneven = [name for name, dataset in columns.items() if len(dataset) != self.rows]
        if uneven:
            raise self._wrong(f"{', '.join(uneven)}: not of {self.rows} rows")
        if self.features is not None and not (
            self.features.ndim == 2
            and self.features.dtype == torch.float32
            and rows.dtype.kind == "u"
            and self._dataset("coefficients", ndim=2).shape == rows.shape
        ):
            raise self._wrong("features, active and coefficients do not fit")
        if self.features is None and rows.dtype.kind != "f":
            raise self._wrong("vectors: not of floating-point numbers")
        if self.rows == 0 and not self.drawn:
            raise UserError(f"{self.path}: has no vectors; see the log of {self.stage}")
        # Imported now, not at the first batch: `mfr.runtime.resume.code_in_use` must see the code that draws.
        self._draw = source(self.source).draw if self.drawn else None

    def _check_place(self) -> None:
        """Raise `UserError` for vectors of another source or split in a place that the pipeline has for its own."""
        folder, split = self.path.parent.name, self.path.stem
        own = str(self.file.attrs.get("split", split))
        if self.stage != Source.vectors_by and (self.source, own) != (folder, split):
            raise UserError(f"{self.path}: contains the {own} vectors of {self.source}; run {self.stage} again")

    def _dataset(self, name: str, ndim: int | None = None) -> h5py.Dataset:
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset) or ndim not in (None, found.ndim):
            raise self._wrong(f"{name}: no such dataset")
        return found

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self.path}: not the vectors that are needed here ({what}); run {self.stage} again")

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop` (exclusive), (stop − start, d) float32.

        Raises `UserError` that names the first row with NaN or infinity.
        """
        return torch.from_numpy(self._read(start, stop))

    def _read(self, start: int, stop: int) -> np.ndarray:
        if self.features is not None:
            active = self.file["active"][start:stop]
            if active.size and active.max() >= len(self.features):
                raise self._wrong(f"active: an index is not below {len(self.features)}")
            rows = combine(self.features.numpy(), active, self.file["coefficients"][start:stop])
        else:
            rows = self.file["vectors"][start:stop].astype(np.float32)
        if not np.isfinite(rows.sum()):
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                row = start + int(bad[0])
                raise UserError(f"{self.path}: row {row} has NaN or infinity; check the input of its stage, then run it again")
        return rows

    def identity(self) -> str:
        """SHA-256 of the file's content, facts included."""
        return self._sha256

    @deferred()
    def recipe(self) -> str:
        """SHA-256 of the facts that all splits share: how they were made."""
        facts = {name: str(value) for name, value in self.file.attrs.items() if name not in OF_A_SPLIT}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def fact(self, name: str) -> str:
        """Attribute that `VectorWriter.describe` stored; `UserError` if there is none of this name."""
        if name not in self.file.attrs:
            raise self._wrong(f"{name}: no such attribute")
        return str(self.file.attrs[name])

    def column(self, name: str, rows: slice | np.ndarray) -> np.ndarray:
        """Values of a column at `rows`, a slice or increasing row numbers; `UserError` if there is no such column."""
        values: np.ndarray = self._dataset(name)[rows]
        return values

    def attached(self, name: str) -> np.ndarray:
        """A whole column, or an array that `VectorWriter.attach` stored; `UserError` if there is none of this name."""
        values: np.ndarray = self._dataset(name)[:]
        return values

    def sequential(self, batch: int) -> Iterator[torch.Tensor]:
        """All rows in order, `batch` at a time; the last batch may be smaller."""
        for start in range(0, self.rows, batch):
            yield self.read(start, min(start + batch, self.rows))

    def batches(self, batch: int, seed: int, first: int = 0) -> Generator[torch.Tensor]:
        """Endless training batches (batch, d), from batch number `first`.

        A batch depends only on `seed` and its number. The file's rows come in shuffled order, each once per epoch. If the file
        is `drawn`, rows are drawn as they are used.
        """
        rows = self._drawn(batch, seed, first) if self.drawn else self._shuffled(batch, seed, first * batch)
        yield from map(torch.from_numpy, rows)

    def codes(self, batch: int, seed: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes of the `batches` of a `drawn` file: active features, uint16, and coefficients, each (batch, a)."""
        assert self._draw is not None
        draw = self._draw(self.fact("drawn"), seed)
        return (draw(row, batch) for row in count(first * batch, batch))

    def _drawn(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        """Batches drawn by the source, from batch number `first`."""
        assert self.features is not None
        return (combine(self.features.numpy(), *code) for code in self.codes(batch, seed, first))

    def _shuffled(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        """Batches of the file's rows, from row number `first`.

        Random blocks of batch/8 neighbouring rows fill a pool of 8 batches, which is permuted. Reading single rows at random
        would take 10 to 50 times longer.
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
        """Rows of each pool, and the order in which they are used, from row number `first`."""
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


def _stage(path: Path) -> str:
    """The stage that makes a file in the pipeline's place of a source's vectors."""
    name = path.parent.name
    if path == paths.vectors(name, path.stem) and name.isidentifier():
        try:
            return source(name).vectors_by
        except UserError:
            pass
    return Source.vectors_by


def _reason(error: OSError) -> str:
    """First words of HDF5's reason, which it gives in parentheses, such as `truncated file`."""
    inside = str(error).partition("(")[2] or str(error)
    return re.split(r"[:,)\n]", inside)[0]


def _groups(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive parts of `items`, `size` each; the last may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
