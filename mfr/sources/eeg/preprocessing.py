"""Filter recordings one by one, judge their windows, and turn kept windows into vectors.

Filtered signals and verdicts are kept in scratch, so that an interrupted run resumes with the recordings that are left.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError
from mfr.runtime.resume import Parts
from mfr.sources.eeg.artefacts import REASONS, Marks, check_spectrum, marks, unit_factor, verdicts
from mfr.sources.eeg.formats import Contents, reader
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.signals import Block, Plan, moments, standardise, windows
from mfr.sources.manifest import sha256

SAMPLED = 1 << 18  # samples of a channel from which its quartiles are estimated; 34 minutes at 128 Hz
IQR_OF_NORMAL = 1.349  # in standard deviations
SPECTRUM_S = 600


@dataclass(frozen=True)
class Job:
    """A usable recording, and how to convert it."""

    path: Path
    contents: Contents
    channels: list[int]
    montage: Montage
    parameters: PreprocessEeg

    @property
    def plan(self) -> Plan:
        """How the recording is cut into windows."""
        return Plan(self.contents.samples[self.channels[0]], self.rate, self.parameters)

    @property
    def rate(self) -> Fraction:
        """Sampling rate in Hz."""
        return self.contents.rates[self.channels[0]]

    @property
    def name(self) -> str:
        """Name of its pieces in scratch: a hash of its files' paths, sizes and times."""
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.contents.files]
        return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Outcome:
    """Verdicts on a recording's windows, and the mean and deviation that standardise them."""

    skipped: str  # why the recording is skipped, or empty
    verdicts: np.ndarray  # (windows,) uint8
    mean: np.ndarray  # (windows or 1, channels) float64, in microvolts
    deviation: np.ndarray  # as mean
    factor: float  # multiplies the signals, to correct their unit

    @property
    def dropped(self) -> dict[str, int]:
        """Number of windows dropped for each of `REASONS`."""
        return {reason: int((self.verdicts == code).sum()) for code, reason in enumerate(REASONS, start=1)}


def convert(job: Job, parts: Parts) -> None:
    """Filter the recording of `job`, judge its windows, and store both in `parts`.

    The pieces are the blocks of filtered signals, `NAME-0`, `NAME-1`, …, and last the outcome, `NAME`. A recording that turns
    out to be unusable has an outcome too.
    """
    try:
        outcome = _convert(job, parts)
    except UnusableError as error:
        skip(job, error, parts)
        return
    _put_outcome(job, outcome, sha256(job.contents.files), parts)


def skip(job: Job, error: UnusableError, parts: Parts) -> None:
    """Store an outcome for an unusable recording, without the hash of its files, which may not be readable."""
    _put_outcome(job, _unusable(error), "", parts)


def _unusable(error: UnusableError) -> Outcome:
    return Outcome(str(error), np.zeros(0, np.uint8), np.zeros((0, 0)), np.zeros((0, 0)), 1.0)


def _put_outcome(job: Job, outcome: Outcome, digest: str, parts: Parts) -> None:
    arrays = {"verdicts": outcome.verdicts, "mean": outcome.mean, "deviation": outcome.deviation}
    words = {"skipped": outcome.skipped, "sha256": digest}
    coded = {name: np.frombuffer(word.encode(), np.uint8) for name, word in words.items()}
    _put(parts, job.name, arrays | coded | {"factor": np.array([outcome.factor])})


def is_converted(job: Job, parts: Parts) -> bool:
    """Whether `parts` has all that `columns` reads of a job."""
    if job.name not in parts:
        return False
    blocks = len([*job.plan.blocks(len(job.channels))]) if (outcome_of(job, parts).verdicts == 0).any() else 0
    return all(f"{job.name}-{number}" in parts for number in range(blocks))


def outcome_of(job: Job, parts: Parts) -> Outcome:
    """Outcome that `convert` stored for a job."""
    piece = load(parts.get(job.name))
    skipped = piece["skipped"].tobytes().decode()
    return Outcome(skipped, piece["verdicts"], piece["mean"], piece["deviation"], float(piece["factor"][0]))


def _put(parts: Parts, name: str, arrays: dict[str, np.ndarray]) -> None:
    parts.put(name, save({key: np.ascontiguousarray(array) for key, array in arrays.items()}))


def sha256_of(job: Job, parts: Parts) -> str:
    """SHA-256 of the files that `convert` read, concatenated."""
    return str(load(parts.get(job.name))["sha256"].tobytes().decode())


def columns(job: Job, outcome: Outcome, chosen: np.ndarray, parts: Parts) -> Iterator[dict[str, np.ndarray]]:
    """Vectors, start_s, mean and deviation of the `chosen` windows, block by block.

    All are float32. `chosen` (windows,) is a mask of kept windows.
    """
    for number, block in enumerate(job.plan.blocks(len(job.channels))):
        every = windows(load(parts.get(f"{job.name}-{number}"))["signals"], job.plan.window, job.plan.step)
        kept = np.flatnonzero(chosen[block.first : block.last])
        shape = (len(chosen), len(job.montage.channels))
        mean, deviation = (np.broadcast_to(a, shape)[block.first + kept] for a in (outcome.mean, outcome.deviation))
        yield {
            "vectors": standardise(every[kept] * np.float32(outcome.factor), mean, deviation),
            "start_s": ((block.first + kept) * (job.plan.step / job.parameters.rate_hz)).astype(np.float32),
            "mean": mean.astype(np.float32),
            "deviation": deviation.astype(np.float32),
        }


@dataclass
class _Measured:
    """Statistics of all windows of a recording."""

    seen: Marks  # before the filter; all else is after it
    mean: np.ndarray  # (windows, channels) float64
    deviation: np.ndarray  # as mean
    sampled: list[tuple[np.ndarray, np.ndarray]]  # for each block, what `_sampled` returns


def _measured(job: Job, parts: Parts) -> _Measured:
    """Filter a recording, store its blocks in `parts`, and return statistics of its windows."""
    plan = job.plan
    read = reader(job.path, job.contents, job.channels, job.parameters.unit)
    seen, sampled = [], []
    mean, deviation = np.empty((2, plan.count, len(job.montage.channels)))
    for number, block in enumerate(plan.blocks(len(job.channels))):
        raw = read(block.start, block.stop)
        seen.append(marks(raw, *plan.raw_windows(block)))
        signals = job.montage.apply(plan.clean(raw, block)).astype(np.float32)
        _put(parts, f"{job.name}-{number}", {"signals": signals})
        rows = slice(block.first, block.last)
        mean[rows], deviation[rows] = moments(windows(signals, plan.window, plan.step))
        sampled.append(_sampled(signals, block, plan))
    return _Measured(Marks.joined(seen), mean, deviation, sampled)


def _convert(job: Job, parts: Parts) -> Outcome:
    """Outcome of a recording; `UnusableError` if the whole recording is unusable."""
    found = _measured(job, parts)
    mean, deviation = found.mean, found.deviation
    changing = ~found.seen.constant.any(axis=1)
    stated = {job.contents.units[channel] for channel in job.channels}
    factor = unit_factor(deviation[changing], stated, job.parameters) if changing.any() else 1.0
    if factor != 1:
        check_spectrum(_middle(job), float(job.rate))
    mean *= factor
    deviation *= factor
    verdict = verdicts(found.seen, deviation, job.parameters)
    kept = verdict == 0
    if not kept.any():
        return Outcome(_why_none(found.seen, verdict, job), verdict, np.zeros((0, 0)), np.zeros((0, 0)), factor)
    if job.parameters.standardise == "recording_channel":
        mean, deviation = _pooled(mean[kept], deviation[kept])
    elif job.parameters.standardise == "recording_robust":
        mean, deviation = (factor * each for each in _robust(found.sampled, kept, job.montage.channels))
    elif job.parameters.standardise == "none":
        mean, deviation = np.zeros((1, len(job.montage.channels))), np.ones((1, len(job.montage.channels)))
    return Outcome("", verdict, mean, deviation, factor)


def _middle(job: Job) -> np.ndarray:
    """Samples (electrodes, time) in microvolts of `SPECTRUM_S` in the middle of a recording."""
    samples = job.plan.samples
    half = min(samples, round(SPECTRUM_S * job.rate)) // 2
    return reader(job.path, job.contents, job.channels, job.parameters.unit)(samples // 2 - half, samples // 2 + half)


def _why_none(every: Marks, verdict: np.ndarray, job: Job) -> str:
    """Why no window of a recording is kept."""
    always = [name for name, constant in zip(job.montage.electrodes, every.constant.T, strict=True) if constant.all()]
    if always:
        return f"constant: {', '.join(always)}"
    counts = Counter(REASONS[code - 1] for code in verdict)
    return "no window is kept: " + ", ".join(f"{count} {reason}" for reason, count in counts.items())


def _pooled(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1, channels) of all windows, from those of each."""
    middle = mean.mean(axis=0, keepdims=True)
    return middle, np.sqrt((deviation**2 + (mean - middle) ** 2).mean(axis=0, keepdims=True))


def _sampled(signals: np.ndarray, block: Block, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Window (samples,) and values (channels, samples) of some of a block's samples.

    In a long recording these are every nth sample, at most about `SAMPLED` in all blocks.
    """
    every = ceil(plan.count * plan.step / SAMPLED)
    first = block.first * plan.step
    places = np.arange(ceil(first / every) * every, block.last * plan.step, every)
    places = places[places % plan.step < plan.window]
    return places // plan.step, signals[:, places - first]


def _robust(sampled: list[tuple[np.ndarray, np.ndarray]], kept: np.ndarray, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Median and robust deviation of the kept windows, each (1, channels).

    The deviation is the interquartile range / 1.349, which is 1 for a standard normal distribution. Raises `UnusableError` if
    a channel's range is 0.
    """
    values = np.concatenate([values[:, kept[window]] for window, values in sampled], axis=1)
    low, middle, high = np.percentile(values.astype(np.float64), [25, 50, 75], axis=1)
    narrow = [name for name, width in zip(names, high - low, strict=True) if width <= 0]
    if narrow:
        raise UnusableError(f"constant most of the time: {', '.join(narrow)}")
    return middle[None], (high - low)[None] / IQR_OF_NORMAL
