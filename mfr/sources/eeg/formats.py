"""Recordings of any format that MNE reads: which channels a file holds, and its samples in microvolts, part by part."""

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
from mfr.sources.eeg.electrodes import electrode
from mfr.sources.eeg.recordings import ending

VOLTS = ("uV", "µV", "μV", "mV", "V")
# What MNE raises for files that are not what they seem; it has no error of its own.
UNREADABLE = (
    *(ValueError, OSError, RuntimeError, AssertionError, LookupError, ArithmeticError, AttributeError, TypeError, EOFError),
    *(struct.error, zlib.error, configparser.Error, MatReadError),
)
Read = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Contents:
    """What a file says that it holds; lists have one item a channel."""

    labels: list[str]
    units: list[str]
    rates: list[Fraction]
    samples: list[int]
    files: list[Path]  # the file itself and those that it is read with

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return float(max(samples / rate for samples, rate in zip(self.samples, self.rates, strict=True)))


def read_contents(path: Path) -> Contents:
    """What a file holds, its samples unread.

    Raises `UnusableError` for a file that cannot be read or is cut short, as far as its format tells: BrainVision only where
    the header has DataPoints.
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
        others = [Path(name) for name in raw.filenames if name is not None and Path(name) != path]
    _check_brainvision(path, raw.n_times)
    count = len(labels)
    return Contents(labels, ["V"] * count, [rate] * count, [raw.n_times] * count, [path, *others])


def find(contents: Contents, electrodes: Sequence[str]) -> list[int]:
    """Channels that hold `electrodes`, in their order.

    Raises `UnusableError` where one is missing or there twice, where rates differ, or where a unit is no voltage.
    """
    named: dict[str, list[int]] = {}
    for channel, label in enumerate(contents.labels):
        named.setdefault(electrode(label), []).append(channel)
    missing = [name for name in electrodes if name not in named]
    if missing:
        raise UnusableError(f"missing electrodes: {', '.join(missing)}")
    twice = [name for name in electrodes if len(named[name]) > 1]
    if twice:
        raise UnusableError(f"electrodes found twice: {', '.join(twice)}")
    channels = [named[name][0] for name in electrodes]
    if len({contents.rates[channel] for channel in channels}) > 1:
        raise UnusableError("its electrodes have different sampling rates")
    wrong = sorted({contents.units[channel] for channel in channels} - set(VOLTS))
    if wrong:
        raise UnusableError(f"unknown unit: {wrong[0]!r} is none of uV, mV, V")
    return channels


def reader(path: Path, contents: Contents, channels: Sequence[int]) -> Read:
    """A function that gives the samples `first` to `last` (excluded) of `channels`, (channels, time) float64 in microvolts.

    Raises `UnusableError`, as that function does, where MNE cannot read the file, and for values that are no numbers.
    """
    labels = [contents.labels[channel] for channel in channels]
    with _Unreadable():
        if ending(path) in (".edf", ".bdf"):
            read_raw = mne.io.read_raw_edf if ending(path) == ".edf" else mne.io.read_raw_bdf
            # latin1 because MNE raises a bare Exception for an annotation that is not the default UTF-8.
            raw = read_raw(path, include=labels, stim_channel=None, encoding="latin1", verbose="ERROR")
        else:
            raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
        picks = [raw.ch_names.index(label) for label in labels]

    def read(first: int, last: int) -> np.ndarray:
        with _Unreadable():
            signals = raw.get_data(picks=picks, start=first, stop=last, verbose="ERROR")
        if signals.shape[1] != last - first:
            raise UnusableError(f"cut short: {first + signals.shape[1]} of {contents.samples[channels[0]]} samples")
        if not np.isfinite(signals).all():
            raise UnusableError("has values that are no numbers")
        signals *= 1e6
        return signals

    return read


class _Unreadable:
    """Turns what MNE raises into `UnusableError`, and keeps its warnings back."""

    def __enter__(self) -> None:
        self.warnings = warnings.catch_warnings(action="ignore")
        self.warnings.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.warnings.__exit__(kind, error, trace)
        # For some files it raises Exception itself.
        if kind is Exception or isinstance(error, UNREADABLE):
            raise UnusableError(f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None


def _check_brainvision(path: Path, samples: int) -> None:
    # MNE takes the length from the size of the data file.
    said = re.search(r"^DataPoints=(\d+)", path.read_text("latin-1"), re.MULTILINE) if ending(path) == ".vhdr" else None
    if said and samples < int(said[1]):
        raise UnusableError(f"cut short: {samples} of {said[1]} samples")
