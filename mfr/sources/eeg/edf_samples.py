"""Samples of EDF and BDF files, and damage that their length does not show."""

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.edf import Header

BLOCK_BYTES = 1 << 24
STAMP = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)\x14\x14")
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
LINE_FEEDS = 20  # random bytes have so many line feeds, each after a carriage return, once in 256 to the 20th
TEXT_BYTES = 1000  # so many bytes of samples below 0 or of any noise are never valid UTF-8
REPLACED_SHARE = 0.1  # of bytes that are spaces; 1/256 in noise


def records(path: Path, header: Header, first: int, last: int) -> Iterator[np.ndarray]:
    """Bytes (records, record bytes) uint8 of the data records `first` to `last` (exclusive), in blocks."""
    step = max(1, BLOCK_BYTES // header.record_bytes)
    with path.open("rb") as file:
        file.seek(header.header_bytes + first * header.record_bytes)
        for start in range(first, last, step):
            count = min(step, last - start)
            block = np.fromfile(file, np.uint8, count * header.record_bytes)
            if block.size < count * header.record_bytes:
                raise UnusableError(f"cut short: {path.stat().st_size} of {header.file_bytes} bytes")
            yield block.reshape(count, header.record_bytes)


def check(path: Path, header: Header) -> None:
    """Raise `UnusableError` if the data records are damaged.

    1. They went through a program for text, which put a carriage return before each line feed, or which replaced bytes that
       are not UTF-8.
    2. In EDF+ and BDF+, the time stamp of a record is not at its place, or not the time of that record.
    """
    as_text = _Text()
    stamps = _Stamps(header)
    for block in records(path, header, 0, header.records):
        as_text.add(block.ravel())
        stamps.add(block)
    as_text.check()
    stamps.check()


class _Text:
    """Whether bytes went through a program for text."""

    def __init__(self) -> None:
        self.feeds = self.lone = self.bytes = self.spaces = self.replaced = 0
        self.decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()

    def add(self, data: np.ndarray) -> None:
        """See further bytes (n,)."""
        feeds = np.flatnonzero(data == ord("\n"))
        feeds = feeds[feeds > 0]
        self.feeds += len(feeds)
        self.lone += int((data[feeds - 1] != ord("\r")).sum())
        if self.decoder:
            try:
                self.replaced += self.decoder.decode(data.tobytes()).count("\N{REPLACEMENT CHARACTER}")
            except UnicodeDecodeError:
                self.decoder = None
        self.spaces += int((data == ord(" ")).sum())
        self.bytes += len(data)

    def check(self) -> None:
        """Raise `UnusableError` if they did."""
        if self.feeds >= LINE_FEEDS and not self.lone:
            raise UnusableError(
                f"damaged by a copy as text: all of its {self.feeds} line feeds follow a carriage return; copy it again, in "
                "binary mode"
            )
        if self.decoder and self.bytes >= TEXT_BYTES and self.spaces + 3 * self.replaced > REPLACED_SHARE * self.bytes:
            raise UnusableError(
                "damaged by a copy as text: all bytes that are not UTF-8 were replaced; copy it again, in binary mode"
            )


class _Stamps:
    """Time stamps of the data records of an EDF+ or BDF+ file."""

    def __init__(self, header: Header) -> None:
        self.header = header
        found = [number for number, label in enumerate(header.labels) if label in ANNOTATIONS]
        self.place = slice(0)
        if header.annotated and found:
            start = header.sample_bytes * sum(header.samples[: found[0]])
            self.place = slice(start, start + header.sample_bytes * header.samples[found[0]])
        self.seen = 0
        self.missing: list[int] = []
        self.begun: Fraction | None = None
        self.jump = ""

    def add(self, block: np.ndarray) -> None:
        """See further records (records, record bytes)."""
        for row in block[:, self.place] if self.place.stop else ():
            stamp = row.tobytes()
            found = STAMP.match(stamp)
            if found:
                time = Fraction(found[1].decode().rstrip("."))
                self.begun = time - self.seen * self.header.record_s if self.begun is None else self.begun
                expected = self.begun + self.seen * self.header.record_s
                # Stamps may be rounded.
                if abs(time - expected) > self.header.record_s / 2 and not self.jump:
                    self.jump = f"record {self.seen + 1} begins at {float(time):g} s, not at {float(expected):g} s"
            elif stamp.strip(b"\0"):
                self.missing.append(self.seen + 1)
            self.seen += 1

    def check(self) -> None:
        """Raise `UnusableError` if a stamp is missing or not contiguous with the first."""
        if self.missing:
            raise UnusableError(
                f"damaged: {len(self.missing)} of {self.seen} data records have no time stamp at its place, the first of them "
                f"record {self.missing[0]}"
            )
        if self.jump:
            raise UnusableError(f"gap between data records: {self.jump}")


def reader(path: Path, header: Header, channels: Sequence[int], volts: Sequence[float]) -> Callable[[int, int], np.ndarray]:
    """Function that reads samples `first` to `last` (exclusive) of `channels`, (channels, last − first) float64 in microvolts.

    `volts` are each channel's unit in volts. All `channels` have the same number of samples per record. The function raises
    `UnusableError` if a value is outside the digital range in the header.
    """
    scales = [header.scales[channel] for channel in channels]
    gain, offset = np.array([[scale.gain, scale.offset] for scale in scales]).T[:, :, None]
    unit = np.array(volts)[:, None]
    samples = header.samples[channels[0]]
    starts = [header.sample_bytes * sum(header.samples[:channel]) for channel in channels]
    places = [slice(start, start + header.sample_bytes * samples) for start in starts]

    def read(first: int, last: int) -> np.ndarray:
        begin, end = first // samples, -(-last // samples)
        digital = np.empty((len(channels), end - begin, samples), np.int32)
        done = 0
        for block in records(path, header, begin, end):
            for row, place in enumerate(places):
                digital[row, done : done + len(block)] = _integers(block[:, place], header.sample_bytes)
            done += len(block)
        flat = digital.reshape(len(channels), -1)[:, first - begin * samples : last - begin * samples]
        for channel, scale, values in zip(channels, scales, flat, strict=True):
            least, most = scale.digital
            # One step beyond is a common error in headers: −2047 to 2047 for 12 bits, which reach −2048.
            if values.min() < least - 1 or values.max() > most + 1:
                raise UnusableError(
                    f"values outside the digital range: {header.labels[channel]} has {values.min()} to {values.max()}, its "
                    f"header says {least:g} to {most:g}; the file is damaged or its header is wrong"
                )
        # Scaled in MNE's order, so that the rounding is the same.
        signals: np.ndarray = flat * gain
        signals += offset
        signals *= unit
        signals *= 1e6
        return signals

    return read


def _integers(data: np.ndarray, size: int) -> np.ndarray:
    """Little-endian signed integers (records, samples) of `size` bytes, from bytes (records, size · samples)."""
    whole = np.zeros((len(data), data.shape[1] // size, 4), np.uint8)
    whole[:, :, 4 - size :] = data.reshape(len(data), -1, size)
    values: np.ndarray = whole.view("<i4")[:, :, 0] >> (8 * (4 - size))
    return values
