"""EDF and BDF headers, and whether a file is as long as its header says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isfinite
from pathlib import Path

from mfr.runtime.errors import UnusableError

FIELDS = {  # bytes of each header field per signal, in the file's order
    **{"label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8},
    **{"digital minimum": 8, "digital maximum": 8, "prefiltering": 80, "samples": 8, "reserved": 32},
}
RANGE = ("physical minimum", "physical maximum", "digital minimum", "digital maximum")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d\d?)?", re.IGNORECASE)
RECORDS, UNKNOWN = slice(236, 244), "-1"  # place of the number of data records, and what a crash leaves there
BDF_MAGIC = b"\xffBIOSEMI"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Scale:
    """Digital and physical range of a signal.

    A physical minimum above the maximum is an inverted signal. `fault` says why the signal has no scale, or is empty.
    """

    physical: tuple[float, float]
    digital: tuple[float, float]
    fault: str

    @property
    def gain(self) -> float:
        """Physical units per digital step."""
        return (self.physical[1] - self.physical[0]) / (self.digital[1] - self.digital[0])

    @property
    def offset(self) -> float:
        """Physical value of the digital value 0."""
        return self.physical[0] - self.digital[0] * self.gain


@dataclass(frozen=True)
class Header:
    """Contents of an EDF or BDF header; lists have one item per signal."""

    labels: list[str]
    units: list[str]
    scales: list[Scale]
    samples: list[int]  # per data record
    records: int
    record_s: Fraction
    sample_bytes: int
    annotated: bool  # whether it is EDF+ or BDF+, so that each record has a time stamp

    @property
    def header_bytes(self) -> int:
        """Length of the header: 256 bytes, and 256 more per signal."""
        return 256 * (1 + len(self.labels))

    @property
    def record_bytes(self) -> int:
        """Length of a data record."""
        return self.sample_bytes * sum(self.samples)

    @property
    def file_bytes(self) -> int:
        """Expected file size."""
        return self.header_bytes + self.records * self.record_bytes


def read_header(path: Path) -> Header:
    """Header of an EDF or BDF file, read without its data.

    If it does not give the number of records (−1, after a crash of the recording program), that is inferred from the file's
    size. Raises `UnusableError` if there is no valid header, or if the file is shorter or longer than its header says. Zeros
    may follow the last record, and a part of a record if their number is unknown.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            fixed = file.read(256)
            header = _parse(fixed, file.read(256 * 9999), size)
            file.seek(header.file_bytes)
            padded = not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(CHUNK), b""))
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UnusableError(f"no valid EDF or BDF header: {error}") from None
    if size < header.file_bytes:
        raise UnusableError(f"cut short: {size} of {header.file_bytes} bytes")
    if not padded and _text(fixed[RECORDS]) != UNKNOWN:
        raise UnusableError(f"longer than its header says: {size} instead of {header.file_bytes} bytes")
    return header


def _parse(fixed: bytes, rest: bytes, size: int) -> Header:
    """Header from its first 256 bytes and what follows them; `ValueError` if it is invalid."""
    if len(fixed) < 256:
        raise ValueError(f"only {len(fixed)} bytes")
    signals, declared = _whole(fixed[252:256], "number of signals"), _whole(fixed[184:192], "length of the header")
    if signals < 1 or declared != 256 * (1 + signals):
        raise ValueError(f"its length is given as {declared} bytes, but {signals} signals need {256 * (1 + signals)}")
    if len(rest) < 256 * signals:
        raise ValueError(f"{256 + len(rest)} of {declared} bytes")
    variant = fixed[192:197]
    if variant in (b"EDF+D", b"BDF+D"):
        raise ValueError("recordings with gaps (EDF+D, BDF+D) are not supported")
    fields = _fields(rest, signals)
    sample_bytes = 3 if fixed.startswith(BDF_MAGIC) else 2
    samples = [_whole(text, "number of samples") for text in fields["samples"]]
    if min(samples) < 1:
        raise ValueError("a signal has no samples")
    record_s = _seconds(_text(fixed[244:252]))
    records = _whole(fixed[RECORDS], "number of data records")
    if _text(fixed[RECORDS]) == UNKNOWN:
        records = (size - declared) // (sample_bytes * sum(samples))  # without the record that the crash cut
    if records < 1:
        raise ValueError(f"{records} data records")
    scales = [_scale(ends, sample_bytes) for ends in zip(*(fields[name] for name in RANGE), strict=True)]
    labels, units = ([_text(field) for field in fields[name]] for name in ("label", "unit"))
    return Header(labels, units, scales, samples, records, record_s, sample_bytes, variant[:4] in (b"EDF+", b"BDF+"))


def _fields(rest: bytes, signals: int) -> dict[str, list[bytes]]:
    """Bytes of each of `FIELDS`, for each signal."""
    fields, start = {}, 0
    for name, width in FIELDS.items():
        fields[name] = [rest[at : at + width] for at in range(start, start + signals * width, width)]
        start += signals * width
    return fields


def _text(field: bytes) -> str:
    """Text of a header field, which is padded with spaces or zeros."""
    return field.split(b"\0")[0].decode("latin-1").strip()


def _number(field: bytes) -> float | None:
    """Number in a header field, with a decimal point or comma; None if it is not one."""
    text = _text(field).replace(",", ".")
    return float(text) if NUMBER.fullmatch(text) else None


def _whole(field: bytes, name: str) -> int:
    number = _number(field)
    if number is None or not number.is_integer():
        raise ValueError(f"its {name} is {_text(field)!r}, not a whole number")
    return int(number)


def _seconds(text: str) -> Fraction:
    """Exact length of a data record."""
    text = text.replace(",", ".")
    # Bounded, because a Fraction of 1e999999 has a million digits.
    if not NUMBER.fullmatch(text) or not 0 < float(text) <= 1e6:
        raise ValueError(f"its data records have a length of {text!r} s")
    return Fraction(text)


def _scale(ends: Sequence[bytes], sample_bytes: int) -> Scale:
    """Scale of a signal, from its header fields `RANGE`."""
    numbers = [_number(field) for field in ends]
    unread = [
        f"its {name} is {_text(field)!r}, not a number"
        for name, field, number in zip(RANGE, ends, numbers, strict=True)
        if number is None or not isfinite(number)
    ]
    first, last, least, most = (inf if number is None else number for number in numbers)
    limit = 2 ** (8 * sample_bytes - 1)
    if unread:
        fault = unread[0]
    elif least == most:
        fault = f"its digital minimum equals its maximum ({least:g})"
    elif least > most:
        fault = f"its digital minimum is above its maximum ({least:g}, {most:g})"
    elif least < -limit or most >= limit:
        fault = f"its digital range ({least:g} to {most:g}) exceeds {8 * sample_bytes} bits"
    elif first == last:
        fault = f"its physical minimum equals its maximum ({first:g})"
    else:
        fault = ""
    return Scale((first, last), (least, most), fault)
