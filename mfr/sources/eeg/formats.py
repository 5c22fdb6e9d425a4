"""Read the channels and samples of recordings in any format that MNE supports."""

import configparser
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import mne
import numpy as np
from scipy.io.matlab import MatReadError

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.edf import read_header
from mfr.sources.eeg.electrodes import channels_of, describe_labels
from mfr.sources.eeg.recordings import ending

VOLTS = ("uV", "µV", "μV", "mV", "V")
# MNE has no error class for invalid files; it raises any of these.
UNREADABLE = (
    *(ValueError, OSError, RuntimeError, AssertionError, LookupError, ArithmeticError, AttributeError, TypeError, EOFError),
    *(struct.error, zlib.error, configparser.Error, MatReadError),
)
Read = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Contents:
    """Channels that a file declares; lists have one item per channel."""

    labels: list[str]
    units: list[str]
    rates: list[Fraction]
    samples: list[int]
    files: list[Path]  # the file itself, then the files that MNE reads with it
    bad: tuple[str, ...] = ()  # labels of channels that the file marks as bad

    @property
    def seconds(self) -> float:
        """Length of the recording, that of its longest channel; 0 if it has none."""
        return float(max((samples / rate for samples, rate in zip(self.samples, self.rates, strict=True)), default=0))


def read_contents(path: Path) -> Contents:
    """Channels of the file at `path`, without reading its samples.

    Raises `UnusableError` if the file cannot be read or is cut short. Not every format shows that it is cut short: BrainVision
    does so only if its header has `DataPoints`.
    """
    if ending(path) in (".edf", ".bdf"):
        header = read_header(path)
        rates = [samples / header.record_s for samples in header.samples]
        samples = [samples * header.records for samples in header.samples]
        return Contents(header.labels, header.units, rates, samples, [path])
    with _Unreadable():
        raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
        labels = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"]
        rate = Fraction(raw.info["sfreq"]).limit_denominator(10**6)
        bad = tuple(raw.info["bads"])
        others = [Path(name) for name in raw.filenames if name is not None and Path(name) != path]
    _check_brainvision(path, raw.n_times)
    count = len(labels)
    return Contents(labels, ["V"] * count, [rate] * count, [raw.n_times] * count, [path, *others], bad)


def find(contents: Contents, electrodes: Sequence[str]) -> list[int]:
    """Indices of the channels of `electrodes`, in the order of `electrodes`.

    Raises `UnusableError` if an electrode is missing or present twice, if their sampling rates differ, or if a unit is not a
    voltage.
    """
    named = dict(zip(electrodes, channels_of(contents.labels, electrodes), strict=True))
    missing = [name for name in electrodes if not named[name]]
    if missing:
        raise UnusableError(f"missing electrodes: {', '.join(missing)}; {describe_labels(contents.labels, missing[0])}")
    twice = [name for name in electrodes if len(named[name]) > 1]
    if twice:
        raise UnusableError(f"electrodes found twice: {', '.join(twice)}")
    channels = [named[name][0] for name in electrodes]
    if len({contents.rates[channel] for channel in channels}) > 1:
        raise UnusableError("its electrodes have different sampling rates")
    wrong = sorted({contents.units[channel] for channel in channels} - set(VOLTS))
    if wrong:
        raise UnusableError(f"unknown unit: {wrong[0]!r} is not uV, mV or V")
    return channels


def reader(path: Path, contents: Contents, channels: Sequence[int]) -> Read:
    """Function that reads samples `first` to `last` (exclusive) of `channels`.

    It returns (channels, last − first) float64 in microvolts. Both this call and the function raise `UnusableError` if MNE
    cannot read the file; the function also raises it for NaN, infinity or missing samples.
    """
    labels = [contents.labels[channel] for channel in channels]
    with _Unreadable():
        if ending(path) in (".edf", ".bdf"):
            read_raw = mne.io.read_raw_edf if ending(path) == ".edf" else mne.io.read_raw_bdf
            # latin1, because MNE raises a bare Exception if an annotation is not valid UTF-8, its default.
            raw = read_raw(path, include=labels, stim_channel=None, encoding="latin1", verbose="ERROR")
        else:
            raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
        picks = [raw.ch_names.index(label) for label in labels]

    def read(first: int, last: int) -> np.ndarray:
        with _Unreadable():
            signals: np.ndarray = raw.get_data(picks=picks, start=first, stop=last, verbose="ERROR")
        if signals.shape[1] != last - first:
            raise UnusableError(f"cut short: {first + signals.shape[1]} of {contents.samples[channels[0]]} samples")
        if not np.isfinite(signals).all():
            raise UnusableError("contains NaN or infinite values")
        signals *= 1e6
        return signals

    return read


class _Unreadable:
    """Convert what MNE raises into `UnusableError`, and suppress its warnings."""

    def __enter__(self) -> None:
        self.warnings = warnings.catch_warnings(action="ignore")
        self.warnings.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.warnings.__exit__(kind, error, trace)
        # For some files MNE raises a bare Exception.
        if kind is Exception or isinstance(error, UNREADABLE):
            raise UnusableError(f"cannot be read: {_first_sentence(str(error)) or type(error).__name__}") from None


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?]) ", " ".join(text.split()), maxsplit=1)[0]


def _check_brainvision(path: Path, samples: int) -> None:
    """Raise `UnusableError` if a BrainVision file has fewer samples than its header declares."""
    # MNE infers the length from the size of the data file.
    declared = re.search(r"^DataPoints=(\d+)", path.read_text("latin-1"), re.MULTILINE) if ending(path) == ".vhdr" else None
    if declared and samples < int(declared[1]):
        raise UnusableError(f"cut short: {samples} of {declared[1]} samples")
