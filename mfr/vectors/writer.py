"""Write vectors to an HDF5 file, row by row."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from typing_extensions import Buffer

from mfr.runtime.errors import UserError
from mfr.runtime.interruption import deferred
from mfr.vectors import seal

CHUNK_BYTES = 1 << 15


class VectorWriter:
    """Context manager that writes a new file at `path` and appends rows to it.

    `columns` gives the shape and type of one row of each dataset, such as
    `{"vectors": ((768,), "float16"), "token_ids": ((), "int32")}`.
    """

    @deferred()
    def __init__(self, path: Path, source: str, columns: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
        self.sink = _Sink(path, "w+")
        self.file = h5py.File(self.sink, "w", userblock_size=seal.SIZE)
        self.file.attrs["source"] = source
        self.rows = 0
        for name, (shape, dtype) in columns.items():
            row_bytes = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
            chunk = max(1, CHUNK_BYTES // row_bytes)
            self.file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape))
        self.columns = list(columns)

    @deferred()
    def append(self, **rows: np.ndarray) -> None:
        """Add the same number of rows to every column.

        Raises `UserError` if a finite value overflows a float16 column, `OSError` if the disk is full, and `ValueError` if a
        column is missing, unknown or of another length.
        """
        if set(rows) != set(self.columns) or len({len(values) for values in rows.values()}) != 1:
            raise ValueError(f"each column of {self.columns} needs the same number of rows")
        end = self.rows + len(next(iter(rows.values())))
        for name, values in rows.items():
            dataset = self.file[name]
            if dataset.dtype == np.float16 and _overflows(values):
                raise UserError(f"{name}: a value after row {self.rows} overflows float16; store these vectors as float32")
            dataset.resize(end, axis=0)
            dataset[self.rows : end] = np.ascontiguousarray(values, dataset.dtype)
        self.rows = end
        self.sink.check()

    @deferred()
    def describe(self, name: str, value: str | float) -> None:
        """Store a fact about the file, such as a parameter that made it, as an attribute."""
        self.file.attrs[name] = value

    @deferred()
    def attach(self, name: str, array: np.ndarray) -> None:
        """Store an array that is not a column, such as the true features."""
        self.file[name] = array

    def __enter__(self) -> "VectorWriter":
        return self

    @deferred()
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()
        if kind is None and self.sink.failed is None:
            seal.write_seal(self.sink)
        self.sink.close()
        if kind is None:
            self.sink.check()


def _overflows(values: np.ndarray) -> bool:
    """Whether a finite value would be infinite in float16."""
    largest = np.finfo(np.float16).max
    return values.dtype != np.float16 and bool((np.abs(values[np.isfinite(values)]) > largest).any())


class _Sink(io.FileIO):
    """File that keeps the error of its first failed write for `check`, and ignores the rest.

    HDF5 cannot close a file on a full disk: it tries again as the process ends, and crashes.
    """

    failed: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if any."""
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
