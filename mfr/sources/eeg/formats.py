"""Read the channels and samples of recordings: EDF and BDF here, other formats with MNE."""

import configparser
import re
import stat
import struct
import sys
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

from mfr.runtime.errors import UnusableError, first_sentence
from mfr.sources.eeg import edf_samples
from mfr.sources.eeg.edf import read_header
from mfr.sources.eeg.electrodes import channels_of, describe_labels
from mfr.sources.eeg.recordings import ending
from mfr.sources.manifest import is_web_page, pointer

VOLTS = {"uV": 1e-6, "mV": 1e-3, "V": 1.0}
# µ is a byte of Latin-1, two of UTF-8 or Shift-JIS, or a Greek letter; EDF's fields are decoded as Latin-1.
MICRO = re.compile("(u|micro|mc|[\xb5\u03bc]|\xc2\xb5|\xce\xbc|\x83\xca)(v|volts?)", re.IGNORECASE)
MILLI = re.compile(r"(m|milli)(v|volts?)", re.IGNORECASE)
VOLT = re.compile(r"v|volts?", re.IGNORECASE)
# MNE has no error class for invalid files; it raises any of these.
UNREADABLE = (
    *(ValueError, OSError, RuntimeError, AssertionError, LookupError, ArithmeticError, AttributeError, TypeError, EOFError),
    *(struct.error, zlib.error, configparser.Error, MatReadError),
)
# MNE's warnings of what is not used here: filters in the header, dates, events, positions, names of channels and files.
HARMLESS = re.compile(
    r"different (high|low)pass filters|Highpass cutoff|software filter|measurement date|patient information|birthday"
    r"|annotation|events have an onset|no event information|sample index of -1|MarkerFile|marker|coordinate information"
    r"|Unknown types found|does not conform to MNE|[Cc]hannel names are not unique|Data file name in EEG.data|DataPoints"
    r"|digitization|montage|Isotrak|projector|HPI|Could not inspect .set"
)
# MNE's warnings of samples that are missing, or have no certain scale.
FATAL = re.compile(
    r"(?i:scaling factor)|[Pp]hysical (range|dimension)|record length|[Nn]umber of records|set to zero|could not be read"
    r"|corrupted|Invalid tag|[Aa]cquisition skip|[Tt]runcat|[Gg]ap|same data format|[Uu]nit"
)
Read = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Contents:
    """Channels that a file declares; lists have one item per channel."""

    labels: list[str]
    units: list[str]  # one of `VOLTS`, or what the file says instead
    rates: list[Fraction]
    samples: list[int]
    files: list[Path]  # the file itself, then the files that are read with it
    faults: list[str]  # why a channel has no scale, or empty
    bad: tuple[str, ...] = ()  # labels of channels that the file marks as bad

    @property
    def seconds(self) -> float:
        """Length of the recording, that of its longest channel; 0 if it has none."""
        return float(max((samples / rate for samples, rate in zip(self.samples, self.rates, strict=True)), default=0))


def read_contents(path: Path) -> Contents:
    """Channels of the file at `path`, without reading its samples.

    Raises `UnusableError` if the file cannot be read, is no recording or is cut short. Not every format shows that it is cut
    short: BrainVision does so only if its header has `DataPoints`. Writes a warning of MNE to stderr if it is unknown here.
    """
    _check_recording(path)
    if ending(path) in (".edf", ".bdf"):
        header = read_header(path)
        rates = [samples / header.record_s for samples in header.samples]
        samples = [samples * header.records for samples in header.samples]
        faults = [scale.fault for scale in header.scales]
        return Contents(header.labels, list(map(unit_of, header.units)), rates, samples, [path], faults)
    _check_companions(path)
    with _Mne(path, report=True):
        raw = mne.io.read_raw(path, preload=False, verbose="WARNING")
        labels = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"]
        rate = Fraction(raw.info["sfreq"]).limit_denominator(10**6)
        bad = tuple(raw.info["bads"])
        others = [Path(name) for name in raw.filenames if name is not None and Path(name) != path]
    for other in others:
        _check_recording(other)
    _check_brainvision(path, raw.n_times)
    count = len(labels)
    # MNE gives volts; it takes the samples of EEGLAB, which has no units, for microvolts.
    unit = "uV" if ending(path) == ".set" else "V"
    return Contents(labels, [unit] * count, [rate] * count, [raw.n_times] * count, [path, *others], [""] * count, bad)


def unit_of(text: str) -> str:
    """The one of `VOLTS` that a file spells `text`; `text` itself if it is none of them."""
    known = {"uV": MICRO, "mV": MILLI, "V": VOLT}
    return next((unit for unit, spelling in known.items() if spelling.fullmatch(text)), text)


def find(contents: Contents, electrodes: Sequence[str], unit: str | None = None) -> list[int]:
    """Indices of the channels of `electrodes`, in the order of `electrodes`.

    Raises `UnusableError` if an electrode is missing or present twice, if their sampling rates differ, if a channel has no
    scale, or if a unit is not a voltage and no `unit` is given for it.
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
    for channel in channels:
        if contents.faults[channel]:
            raise UnusableError(f"no scale: {contents.labels[channel]}: {contents.faults[channel]}")
    unknown = sorted({contents.units[channel] for channel in channels} - set(VOLTS))
    if unknown and unit is None:
        raise UnusableError(
            f"unknown unit: {unknown[0]!r} is not uV, mV or V (preprocess_eeg.unit states the unit of files that do not)"
        )
    return channels


def reader(path: Path, contents: Contents, channels: Sequence[int], unit: str | None = None) -> Read:
    """Function that reads samples `first` to `last` (exclusive) of `channels`.

    It returns (channels, last − first) float64 in microvolts. `unit` is that of channels whose own is unknown. Both this call
    and the function raise `UnusableError` if the file cannot be read or is damaged; the function also raises it for NaN,
    infinity or missing samples.
    """
    if ending(path) in (".edf", ".bdf"):
        header = read_header(path)
        units = [contents.units[channel] for channel in channels]
        volts = [VOLTS[known if known in VOLTS else str(unit)] for known in units]
        try:
            edf_samples.check(path, header)
            return edf_samples.reader(path, header, channels, volts)
        except OSError as error:
            raise UnusableError(f"cannot be read: {first_sentence(error)}") from None
    labels = [contents.labels[channel] for channel in channels]
    with _Mne(path):
        raw = mne.io.read_raw(path, preload=False, verbose="WARNING")
        picks = [raw.ch_names.index(label) for label in labels]

    def read(first: int, last: int) -> np.ndarray:
        with _Mne(path):
            signals: np.ndarray = raw.get_data(picks=picks, start=first, stop=last, verbose="WARNING")
        if signals.shape[1] != last - first:
            raise UnusableError(f"cut short: {first + signals.shape[1]} of {contents.samples[channels[0]]} samples")
        if not np.isfinite(signals).all():
            raise UnusableError("contains NaN or infinite values")
        signals *= 1e6
        return signals

    return read


class _Mne:
    """Convert what MNE raises, and its warnings of missing or unscaled samples, into `UnusableError`.

    With `report`, other warnings that are not known to be harmless go to stderr, with the file's name.
    """

    def __init__(self, path: Path, report: bool = False) -> None:
        self.path, self.report = path, report

    def __enter__(self) -> None:
        self.catching = warnings.catch_warnings(record=True)
        self.seen = self.catching.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.catching.__exit__(kind, error, trace)
        # For some files MNE raises a bare Exception.
        if error is not None and (kind is Exception or isinstance(error, UNREADABLE)):
            raise UnusableError(self._reason(error)) from None
        if error is not None:
            return
        # What no library says of a file, such as that a function of numpy is deprecated, is none of the user's business.
        texts = [
            first_sentence(w.message) for w in self.seen or () if isinstance(w.message, Warning) and not _of_code(w.category)
        ]
        doubtful = [text for text in texts if not HARMLESS.search(text)]
        fatal = [text for text in doubtful if FATAL.search(text)]
        if fatal:
            raise UnusableError(f"not read with certainty: {fatal[0]}")
        for text in dict.fromkeys(doubtful) if self.report else ():
            print(f"warning: {self.path}: {text}", file=sys.stderr)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, FileNotFoundError) and ".fdt" in str(error):
            return f"missing file: {self.path.stem}.fdt, which {self.path.name} needs"
        if isinstance(error, OSError | ValueError | RuntimeError | MatReadError) and str(error):
            return f"cannot be read: {first_sentence(error)}"
        # Such as "list index out of range", which says nothing of the file.
        return f"cannot be read: damaged, or no {ending(self.path)} file (MNE's reader fails with {type(error).__name__})"


def _of_code(category: type[Warning]) -> bool:
    return issubclass(
        category, DeprecationWarning | PendingDeprecationWarning | FutureWarning | ResourceWarning | ImportWarning
    )


def _check_recording(path: Path) -> None:
    """Raise `UnusableError` if `path` is not a file, or a file that stands for a recording that is elsewhere."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UnusableError("not a file: a folder, pipe or device")
        with path.open("rb") as file:
            begin = file.read(512)
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from None
    if not begin:
        raise UnusableError("empty: the file has 0 bytes")
    if reason := pointer(begin, "recording"):
        raise UnusableError(reason)
    if is_web_page(begin):
        raise UnusableError("a web page, not the recording: download it again")


def _check_companions(path: Path) -> None:
    """Raise `UnusableError` if a file that a BrainVision header names is missing or no recording."""
    if ending(path) != ".vhdr":
        return
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for key in ("DataFile", "MarkerFile"):
        for name in re.findall(rf"^{key}\s*=\s*(.*?)\s*$", text, re.MULTILINE)[:1]:
            companion = path.parent / name.replace("$b", path.stem)
            # MNE takes the marker file of the header's own name instead, as after a file was renamed.
            found = companion.exists() or (key == "MarkerFile" and path.with_suffix(".vmrk").exists())
            if not found:
                raise UnusableError(f"missing file: {companion.name}, which {path.name} names as its {key}")
            if key == "DataFile":
                _check_recording(companion)


def _check_brainvision(path: Path, samples: int) -> None:
    """Raise `UnusableError` if a BrainVision file has fewer samples than its header declares."""
    # MNE infers the length from the size of the data file.
    declared = re.search(r"^DataPoints=(\d+)", path.read_text("latin-1"), re.MULTILINE) if ending(path) == ".vhdr" else None
    if declared and samples < int(declared[1]):
        raise UnusableError(f"cut short: {samples} of {declared[1]} samples")
