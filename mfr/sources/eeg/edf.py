"""EDF and BDF headers, and whether a file is as long as its header says."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mfr.runtime.errors import UnusableError

SIGNAL_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes per signal of each header field
BDF_MAGIC = b"\xffBIOSEMI"


@dataclass(frozen=True)
class Header:
    """Contents of an EDF or BDF header; lists have one item per signal."""

    labels: list[str]
    units: list[str]
    samples: list[int]  # per data record
    records: int
    record_s: Fraction
    sample_bytes: int

    @property
    def file_bytes(self) -> int:
        """Expected file size: 256 bytes, 256 more per signal, and two (BDF: three) per sample."""
        return 256 * (1 + len(self.labels)) + self.sample_bytes * self.records * sum(self.samples)


def read_header(path: Path) -> Header:
    """Header of an EDF or BDF file, read without its data.

    Raises `UnusableError` if there is no valid header or the file is shorter than the header says. MNE only warns about a file
    that is too short.
    """
    try:
        with path.open("rb") as file:
            header = _parse(file.read(256), file.read(256 * 9999))
        size = path.stat().st_size
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None
    except (ValueError, ZeroDivisionError) as error:
        raise UnusableError(f"no valid EDF or BDF header: {error}") from None
    if size < header.file_bytes:
        raise UnusableError(f"cut short: {size} of {header.file_bytes} bytes")
    return header


def _parse(fixed: bytes, rest: bytes) -> Header:
    """Header from its first 256 bytes and what follows them; `ValueError` if it is invalid."""
    signals = int(fixed[252:256])
    records, record_s = int(fixed[236:244]), Fraction(fixed[244:252].decode("latin-1").strip("\0 "))
    if int(fixed[184:192]) != 256 * (1 + signals) or signals < 1 or len(rest) < 256 * signals:
        raise ValueError("its length does not match its number of signals")
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError("recordings with gaps (EDF+D, BDF+D) are not supported")
    if records < 1 or record_s <= 0:
        raise ValueError(f"{records} data records of {float(record_s):g} s")
    ends = np.cumsum([signals * width for width in SIGNAL_FIELDS])
    fields = []
    for end, width in zip(ends, SIGNAL_FIELDS, strict=True):
        start = end - signals * width
        fields.append([rest[at : at + width].strip().decode("latin-1") for at in range(start, end, width)])
    samples = [int(text) for text in fields[8]]
    if min(samples) < 1:
        raise ValueError("a signal has no samples")
    return Header(fields[0], fields[2], samples, records, record_s, 3 if fixed.startswith(BDF_MAGIC) else 2)
