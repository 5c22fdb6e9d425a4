"""Finished pieces of a long job, so that a job that was cut off goes on with those that are left."""

import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from mfr.files import write_whole

KEY = "key"


class Parts:
    """Named pieces of one job in `folder`, each a few arrays; a piece is there whole or not at all.

    `key` says what the pieces were made from: those of another key are deleted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        note = folder / KEY
        if not note.is_file() or note.read_text() != key:
            self.delete()
            folder.mkdir(parents=True)
            write_whole(note, key.encode())

    def __contains__(self, name: str) -> bool:
        return self._path(name).is_file()

    def get(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a piece; `FileNotFoundError` where it is not there."""
        return load_file(self._path(name))

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store a piece; `OSError` where the disk is full."""
        write_whole(self._path(name), save({key: np.ascontiguousarray(array) for key, array in arrays.items()}))

    def delete(self) -> None:
        """Remove the folder with all pieces, when the job is done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def code_in_use() -> str:
    """A hash of the library's modules that are loaded: what is half done by other code is not gone on with."""
    digest = hashlib.sha256()
    for name in sorted(name for name in sys.modules if name.startswith("mfr.")):
        digest.update(Path(str(sys.modules[name].__file__)).read_bytes())
    return digest.hexdigest()
