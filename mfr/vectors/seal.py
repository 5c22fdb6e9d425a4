"""The seal of a file of vectors: its first 512 bytes, which HDF5 ignores (a user block).

The seal has the number of the bytes after it, and their SHA-256. It is written last, and checked before HDF5 reads the file:
HDF5 may crash on damaged bytes, or return other vectors.
"""

import fcntl
import hashlib
import io
import re
from pathlib import Path

from mfr.runtime.errors import UserError
from mfr.runtime.records import unreadable

SIZE = 512
MARK = b"MFR vectors 1\n"
HDF5 = b"\x89HDF\r\n\x1a\n"


def write_seal(file: io.FileIO) -> None:
    """Seal a file that HDF5 has written and closed."""
    seal = _seal(file)
    file.seek(0)
    file.write(seal)


def _seal(file: io.FileIO) -> bytes:
    """The seal of the bytes after the seal; leaves the file at its end."""
    file.seek(SIZE)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (MARK + f"sha256 {digest}\nbytes {file.tell() - SIZE}\n".encode()).ljust(SIZE, b"\0")


def checked(path: Path, stage: str) -> str:
    """SHA-256 of the content of the file at `path`, which `stage` makes.

    Raises `UserError` if the file is missing, unreadable, open for writing elsewhere, unfinished, damaged or not a file of
    vectors.
    """
    try:
        with path.open("rb", buffering=0) as file:
            _share(file, path)
            head, seal = file.read(SIZE), _seal(file)
    except OSError as error:
        raise unreadable(path, error, stage) from None
    if head != seal:
        raise UserError(f"{path}: {_fault(head, seal)}; run {stage} again")
    return _values(seal)[0]


def _share(file: io.FileIO, path: Path) -> None:
    """Lock the file as HDF5 does for reading, shared with other readers; `UserError` if it is open for writing."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{path}: open for writing elsewhere, perhaps in a notebook; close it there, then run this again"
        ) from None
    except OSError:
        pass  # a file system without locks


def _fault(head: bytes, seal: bytes) -> str:
    """What is wrong with a file whose first bytes are `head` and should be `seal`."""
    if not head:
        return "empty"
    if head.startswith(HDF5):
        return "HDF5, but not as this version of the project writes it"
    if not head.strip(b"\0"):
        return "incomplete, its stage did not finish it"
    if not head.startswith(MARK):
        return "not a file of vectors"
    (_, written), (_, size) = _values(head), _values(seal)
    if size < written:
        return f"cut short, with {size} of {written} bytes"
    return "damaged, or changed since its stage wrote it"


def _values(seal: bytes) -> tuple[str, int]:
    """SHA-256 and number of bytes in a seal; 0 bytes if they are damaged."""
    found = re.match(rb"sha256 ([0-9a-f]{64})\nbytes (\d{1,18})\n", seal.removeprefix(MARK))
    return (found[1].decode(), int(found[2])) if found else ("", 0)
