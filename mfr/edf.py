"""EDF files: electrode names, what a header promises and whether the file holds it, its samples, and its subject."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath

import mne
import numpy as np

from mfr.errors import UserError

TCP19 = tuple(
    ["FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T3", "C3", "CZ", "C4", "T4", "T5", "P3", "PZ", "P4", "T6", "O1", "O2"]
)
RENAMED = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
LABEL = re.compile(r"(?:EEG\s+)?([A-Z0-9]+)\.*(?:-(?:REF|LE|AR))?")
TUH_NAME = re.compile(r"([a-z0-9]{8})_s\d{3}_t\d{3}")
BIDS_NAME = re.compile(r"(sub-[A-Za-z0-9]+)(?:_.*)?")
VOLTS = ("uV", "µV", "μV", "mV", "V")
SIGNAL_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


class UnusableError(Exception):
    """Why a recording is skipped, not the end of the run: a reason and, after a colon, what is so in this file."""


@dataclass(frozen=True)
class Header:
    """What an EDF header says; lists have one item a signal."""

    labels: list[str]
    units: list[str]
    samples: list[int]  # in one data record
    records: int
    record_s: Fraction

    def rate(self, signal: int) -> Fraction:
        """Samples a second."""
        return self.samples[signal] / self.record_s

    @property
    def seconds(self) -> float:
        return float(self.records * self.record_s)

    @property
    def file_bytes(self) -> int:
        """Length of the whole file: 256 bytes, 256 more a signal, and two a sample."""
        return 256 * (1 + len(self.labels)) + 2 * self.records * sum(self.samples)


def electrode(label: str) -> str:
    """The electrode of the 10–20 system that a channel's label means: `EEG FP1-REF`, `Fp1.` and `fp1-LE` are FP1, T7 is T3.

    Other labels come back in capitals; a bipolar channel such as `FP1-F7` is no electrode and stays as it is.
    """
    label = label.strip().upper()
    match = LABEL.fullmatch(label)
    name = match[1] if match else label
    return RENAMED.get(name, name)


def montage(channels: str | Sequence[str]) -> list[str]:
    """Electrodes of `tcp19`, or of a list of names. Raises `UserError` for an empty list or an electrode named twice."""
    names = list(TCP19) if channels == "tcp19" else [electrode(name) for name in channels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"preprocess_eeg.channels names {', '.join(twice)} twice: name each electrode once")
    if not names:
        raise UserError("preprocess_eeg.channels is empty: give tcp19, or a list of electrodes such as [C3, C4]")
    return names


def read_header(path: Path) -> Header:
    """Header of an EDF file, without its data.

    Raises `UnusableError` where it is no EDF header, and where the file is shorter than the header says: MNE reads such a
    file with no more than a warning.
    """
    try:
        with path.open("rb") as file:
            header = _parse(file.read(256), file.read(256 * 9999))
        size = path.stat().st_size
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None
    except (ValueError, ZeroDivisionError) as error:
        raise UnusableError(f"no valid EDF header: {error}") from None
    if size < header.file_bytes:
        raise UnusableError(f"cut short: {size} of {header.file_bytes} bytes")
    return header


def _parse(fixed: bytes, rest: bytes) -> Header:
    signals = int(fixed[252:256])
    records, record_s = int(fixed[236:244]), Fraction(fixed[244:252].decode("latin-1").strip("\0 "))
    if int(fixed[184:192]) != 256 * (1 + signals) or signals < 1 or len(rest) < 256 * signals:
        raise ValueError("its length does not fit the number of signals")
    if fixed[192:197] == b"EDF+D":
        raise ValueError("recordings with gaps (EDF+D) are not supported")
    if records < 1 or record_s <= 0:
        raise ValueError(f"{records} data records of {float(record_s):g} s")
    ends = np.cumsum([signals * width for width in SIGNAL_FIELDS])
    fields = []
    for end, width in zip(ends, SIGNAL_FIELDS, strict=True):
        start = end - signals * width
        fields.append([rest[at : at + width].strip().decode("latin-1") for at in range(start, end, width)])
    samples = [int(text) for text in fields[8]]
    if min(samples) < 1:
        raise ValueError("a signal without samples")
    return Header(fields[0], fields[2], samples, records, record_s)


def find(header: Header, electrodes: Sequence[str]) -> list[int]:
    """Signals that hold `electrodes`, in their order.

    Raises `UnusableError` where one is missing or there twice, where rates differ, or where a unit is no voltage.
    """
    named: dict[str, list[int]] = {}
    for signal, label in enumerate(header.labels):
        named.setdefault(electrode(label), []).append(signal)
    missing = [name for name in electrodes if name not in named]
    if missing:
        raise UnusableError(f"missing electrodes: {', '.join(missing)}")
    twice = [name for name in electrodes if len(named[name]) > 1]
    if twice:
        raise UnusableError(f"electrodes found twice: {', '.join(twice)}")
    signals = [named[name][0] for name in electrodes]
    if len({header.samples[signal] for signal in signals}) > 1:
        raise UnusableError("its electrodes have different sampling rates")
    wrong = sorted({header.units[signal] for signal in signals} - set(VOLTS))
    if wrong:
        raise UnusableError(f"unknown unit: {wrong[0]!r} is none of uV, mV, V")
    return signals


def read_signals(path: Path, header: Header, signals: Sequence[int]) -> Iterator[np.ndarray]:
    """Samples of each of `signals` in turn, (time,) float64 in microvolts; only one is in memory at a time.

    Raises `UnusableError` where MNE cannot read the file.
    """
    try:
        # latin1 because MNE raises a bare Exception for an annotation that is not the default UTF-8.
        raw = mne.io.read_raw_edf(
            path, include=[header.labels[i] for i in signals], stim_channel=None, encoding="latin1", verbose="ERROR"
        )
        for i in signals:
            stop = header.records * header.samples[i]
            data = raw.get_data(picks=[raw.ch_names.index(header.labels[i])], stop=stop, verbose="ERROR")
            if not np.isfinite(data).all():
                raise UnusableError("has values that are no numbers")
            yield data[0] * 1e6
    except (ValueError, OSError, RuntimeError, AssertionError, IndexError, OverflowError) as error:
        raise UnusableError(f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None


def subject_of(path: str) -> str:
    """Whose recording a path, relative to the folder of recordings and with slashes, is.

    The first that fits: the name of TUH EEG (`aaaaaaaa_s001_t000.edf` → aaaaaaaa), a part of the path in BIDS' form
    (`sub-01/…` or `sub-01_task-rest_eeg.edf` → sub-01), the topmost folder, the file's name without its ending.
    """
    place = PurePosixPath(path)
    tuh = TUH_NAME.fullmatch(place.stem)
    if tuh:
        return tuh[1]
    bids = [match[1] for match in map(BIDS_NAME.fullmatch, [*place.parts[:-1], place.stem]) if match]
    return bids[0] if bids else place.parts[0] if len(place.parts) > 1 else place.stem
