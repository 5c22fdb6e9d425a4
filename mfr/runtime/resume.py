"""Finished pieces of a long job, from which an interrupted job resumes."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from mfr.runtime.errors import UserError
from mfr.runtime.files import write_whole
from mfr.runtime.records import unreadable

KEY = "key"
PACKAGE, RUNTIME = "mfr.", "mfr.runtime."
SEAL_BYTES = hashlib.sha256().digest_size


def store(path: Path, piece: bytes, key: str = "") -> None:
    """Write a piece and after it the hash of `key` and piece; raises `OSError` if the disk is full."""
    write_whole(path, piece, _seal(piece, key))


def stored(path: Path, key: str = "") -> bytes | None:
    """The piece that `store` wrote; None if it is absent, damaged or of another key.

    Raises `UserError` if there is something that cannot be read.
    """
    try:
        with path.open("rb") as file:
            piece = file.read(max(0, path.stat().st_size - SEAL_BYTES))
            return piece if file.read() == _seal(piece, key) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error, "the stage") from None


def _seal(piece: bytes, key: str) -> bytes:
    digest = hashlib.sha256(json.dumps(key).encode())
    digest.update(piece)
    return digest.digest()


class Parts:
    """Named pieces of one job in `folder`, each whole or absent; a damaged piece counts as absent.

    `key` identifies what the pieces were made from. Pieces with another key are deleted.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        if stored(folder / KEY) != key.encode():
            self.delete()
            folder.mkdir(parents=True)
            store(folder / KEY, key.encode())

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def find(self, name: str) -> bytes | None:
        """Content of a piece; None if it is absent."""
        return stored(self._path(name), self._key(name))

    def get(self, name: str) -> bytes:
        """Content of a piece; raises `UserError` if it is absent."""
        piece = self.find(name)
        if piece is None:
            raise UserError(f"{self._path(name)}: damaged or gone; run the stage again, which makes this piece again")
        return piece

    def put(self, name: str, piece: bytes) -> None:
        """Store a piece; raises `OSError` if the disk is full."""
        store(self._path(name), piece, self._key(name))

    def delete(self) -> None:
        """Remove the folder with all pieces, once the job is done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _key(self, name: str) -> str:
        # A piece in another piece's place would not be noticed otherwise.
        return f"{self.key} {name}"

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.part"


def code_in_use() -> str:
    """Hash of the loaded library modules that can change a result.

    A job resumes only with the code that began it.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in sys.modules if name.startswith(PACKAGE) and not name.startswith(RUNTIME)):
        digest.update(Path(str(sys.modules[name].__file__)).read_bytes())
    return digest.hexdigest()
