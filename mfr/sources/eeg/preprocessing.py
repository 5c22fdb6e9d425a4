"""One recording after another into filtered signals and their windows' verdicts, kept as finished pieces in scratch."""

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
from mfr.sources.eeg.artefacts import REASONS, Marks, marks, unit_factor, verdicts
from mfr.sources.eeg.formats import Contents, reader
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.signals import Block, Plan, moments, standardise, windows
from mfr.sources.manifest import sha256

SAMPLED = 1 << 18  # samples of a channel for its median, 34 minutes at 128 Hz
IQR_OF_NORMAL = 1.349


@dataclass(frozen=True)
class Job:
    """A usable recording, and what is to be made of it."""

    path: Path
    contents: Contents
    channels: list[int]
    montage: Montage
    parameters: PreprocessEeg

    @property
    def plan(self) -> Plan:
        """How it becomes windows."""
        return Plan(self.contents.samples[self.channels[0]], self.rate, self.parameters)

    @property
    def rate(self) -> Fraction:
        """Samples a second."""
        return self.contents.rates[self.channels[0]]

    @property
    def name(self) -> str:
        """What its pieces are called: other for a file that has another place, size or time."""
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.contents.files]
        return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: why it is skipped, or its windows' verdicts, and what standardises the kept ones."""

    skipped: str
    verdicts: np.ndarray  # (windows,) uint8
    mean: np.ndarray  # (windows or 1, channels) float64, in microvolts
    deviation: np.ndarray
    factor: float  # by which its signals are multiplied

    @property
    def dropped(self) -> dict[str, int]:
        """Windows dropped for each of `REASONS`."""
        return {reason: int((self.verdicts == code).sum()) for code, reason in enumerate(REASONS, start=1)}


def convert(job: Job, parts: Parts) -> None:
    """Filter the recording of `job` and judge its windows; pieces of `parts` are its blocks, `NAME-0`, …, and last, `NAME`."""
    try:
        outcome = _convert(job, parts)
    except UnusableError as error:
        outcome = Outcome(str(error), np.zeros(0, np.uint8), np.zeros((0, 0)), np.zeros((0, 0)), 1.0)
    arrays = {"verdicts": outcome.verdicts, "mean": outcome.mean, "deviation": outcome.deviation}
    words = {"skipped": outcome.skipped, "sha256": sha256(job.contents.files)}
    coded = {name: np.frombuffer(word.encode(), np.uint8) for name, word in words.items()}
    _put(parts, job.name, arrays | coded | {"factor": np.array([outcome.factor])})


def outcome_of(job: Job, parts: Parts) -> Outcome:
    """What `convert` found out."""
    piece = load(parts.get(job.name))
    skipped = piece["skipped"].tobytes().decode()
    return Outcome(skipped, piece["verdicts"], piece["mean"], piece["deviation"], float(piece["factor"][0]))


def _put(parts: Parts, name: str, arrays: dict[str, np.ndarray]) -> None:
    parts.put(name, save({key: np.ascontiguousarray(array) for key, array in arrays.items()}))


def sha256_of(job: Job, parts: Parts) -> str:
    """The hash of the files that `convert` read, one after another."""
    return load(parts.get(job.name))["sha256"].tobytes().decode()


def columns(job: Job, outcome: Outcome, chosen: np.ndarray, parts: Parts) -> Iterator[dict[str, np.ndarray]]:
    """Vectors of the `chosen` (windows,) of the kept windows, block by block, with start_s, mean and deviation; all float32."""
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
    """What is known of a recording's windows when all are filtered."""

    seen: Marks
    mean: np.ndarray  # (windows, channels) float64, as is the deviation
    deviation: np.ndarray
    sampled: list[tuple[np.ndarray, np.ndarray]]


def _measured(job: Job, parts: Parts) -> _Measured:
    plan = job.plan
    read = reader(job.path, job.contents, job.channels)
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
    found = _measured(job, parts)
    mean, deviation = found.mean, found.deviation
    changing = ~found.seen.constant.any(axis=1)
    factor = unit_factor(deviation[changing], job.parameters.wrong_units == "correct") if changing.any() else 1.0
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


def _why_none(every: Marks, verdict: np.ndarray, job: Job) -> str:
    always = [name for name, constant in zip(job.montage.electrodes, every.constant.T, strict=True) if constant.all()]
    if always:
        return f"constant: {', '.join(always)}"
    counts = Counter(REASONS[code - 1] for code in verdict)
    return "no window is kept: " + ", ".join(f"{count} {reason}" for reason, count in counts.items())


def _pooled(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1, channels) over all windows, of those of each window (windows, channels)."""
    middle = mean.mean(axis=0, keepdims=True)
    return middle, np.sqrt((deviation**2 + (mean - middle) ** 2).mean(axis=0, keepdims=True))


def _sampled(signals: np.ndarray, block: Block, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Windows (samples,) and values (channels, samples) of a block's samples, of every nth where a recording has many."""
    every = ceil(plan.count * plan.step / SAMPLED)
    first = block.first * plan.step
    places = np.arange(ceil(first / every) * every, block.last * plan.step, every)
    places = places[places % plan.step < plan.window]
    return places // plan.step, signals[:, places - first]


def _robust(sampled: list[tuple[np.ndarray, np.ndarray]], kept: np.ndarray, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range, in standard deviations of a normal distribution, (1, channels), of the kept windows."""
    values = np.concatenate([values[:, kept[window]] for window, values in sampled], axis=1)
    low, middle, high = np.percentile(values.astype(np.float64), [25, 50, 75], axis=1)
    narrow = [name for name, width in zip(names, high - low, strict=True) if width <= 0]
    if narrow:
        raise UnusableError(f"constant for the most part: {', '.join(narrow)}")
    return middle[None], (high - low)[None] / IQR_OF_NORMAL
