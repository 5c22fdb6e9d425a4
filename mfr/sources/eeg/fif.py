"""Whether a FIF file continues another one, as the later parts of a long recording do."""

import gzip
import struct
import zlib
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from mfr.runtime.errors import UnusableError

TAG = struct.Struct(">iIii")  # kind, type, bytes of content, position of the following tag (0: directly after this one)
ROLE, NAME, SAMPLES = 115, 118, 300  # kinds of tags
PREVIOUS = struct.pack(">i", 1)  # role
LONGEST_NAME = 1000


def check_first(path: Path) -> None:
    """Raise `UnusableError` if the FIF file at `path` continues another one.

    MNE reads such a file as a recording of its own. The reference to the file before it precedes its samples.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            previous = _previous(file)  # type: ignore[arg-type]
    except (OSError, EOFError, struct.error, zlib.error):
        return  # damaged, which its reader reports
    if previous is not None:
        raise UnusableError(f"continues a recording whose first part is missing or unusable: {PureWindowsPath(previous).name}")


def _previous(file: BinaryIO) -> str | None:
    """Name of the file that comes before this one, empty if it is unnamed; None if this is the first."""
    is_later, place = False, 0
    while True:
        file.seek(place)
        kind, _, size, following = TAG.unpack(file.read(TAG.size))
        if kind == ROLE:
            is_later = file.read(4) == PREVIOUS
        elif kind == NAME and is_later:
            return file.read(min(size, LONGEST_NAME)).decode("latin-1")
        after = following or place + TAG.size + size
        if kind == SAMPLES or after <= place:
            return "" if is_later else None
        place = after
