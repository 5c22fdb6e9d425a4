"""Finished pieces of a long job, from which an interrupted job resumes."""

import hashlib
import shutil
import sys
from pathlib import Path

from mfr.runtime.files import write_whole

KEY = "key"
PACKAGE, RUNTIME = "mfr.", "mfr.runtime."


class Parts:
    """Named pieces of one job in `folder`, each complete or absent.

    `key` identifies what the pieces were made from. Pieces with another key are deleted.
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

    def get(self, name: str) -> bytes:
        """Content of a piece; raises `FileNotFoundError` if it is absent."""
        return self._path(name).read_bytes()

    def put(self, name: str, piece: bytes) -> None:
        """Store a piece; raises `OSError` if the disk is full."""
        write_whole(self._path(name), piece)

    def delete(self) -> None:
        """Remove the folder with all pieces, once the job is done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

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
