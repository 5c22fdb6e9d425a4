"""Measure the speed of preprocessing EEG recordings, and the memory that a long one takes.

Each recording is an EDF file of noise, converted in one process.
"""

import argparse
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import edfio
import numpy as np
from pydantic import BaseModel

from benchmarks.figures import highest_rss_kb, show
from mfr.config.eeg import PreprocessEeg
from mfr.runtime.resume import Parts
from mfr.sources.eeg.electrodes import TCP19, known_electrodes
from mfr.sources.eeg.formats import find, read_contents
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.preprocessing import Job, columns, convert, outcome_of

RECORD_S = 60


class Shape(BaseModel):
    """Size of a recording."""

    channels: int
    rate_hz: int
    hours: float


SHAPES = {
    "clinic": Shape(channels=19, rate_hz=250, hours=1),
    "day": Shape(channels=32, rate_hz=512, hours=24),
}


class Figures(BaseModel):
    """Medians over rounds, for one shape.

    filter_s is the time for reading, filtering and judging, write_s for cutting into vectors and standardising. cpu_s is the
    processor time of both, and speed the recording's length ÷ cpu_s. peak_rss_mb is the memory beyond the imported libraries.
    """

    shape: str
    rounds: int
    file_mb: float
    filter_s: float
    write_s: float
    cpu_s: float
    speed: float
    peak_rss_mb: float


def measure(name: str, rounds: int) -> Figures:
    """Convert one recording `rounds` times, each in a fresh process."""
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = _record(shape, Path(folder) / "recording.edf")
        found = []
        for round_ in range(rounds):
            with get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(convert_once, (path, shape)))
            print(f"shape {name}: round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
        filter_s, write_s, cpu_s, peak = np.median(found, axis=0)
        return Figures(
            shape=name,
            rounds=rounds,
            file_mb=path.stat().st_size / 1e6,
            filter_s=filter_s,
            write_s=write_s,
            cpu_s=cpu_s,
            speed=shape.hours * 3600 / cpu_s,
            peak_rss_mb=peak,
        )


def convert_once(path: Path, shape: Shape) -> tuple[float, float, float, float]:
    """Convert a recording; return filter_s, write_s, cpu_s and peak_rss_mb of `Figures`."""
    montage = Montage(_electrodes(shape.channels), "referential")
    before = highest_rss_kb()
    contents = read_contents(path)
    job = Job(path, contents, find(contents, montage.electrodes), montage, PreprocessEeg())
    parts = Parts(path.with_name("parts"), "benchmark")
    started, worked = time.perf_counter(), time.process_time()
    convert(job, parts)
    converted = time.perf_counter()
    outcome = outcome_of(job, parts)
    rows = sum(len(block["vectors"]) for block in columns(job, outcome, outcome.verdicts == 0, parts))
    ended, worked = time.perf_counter(), time.process_time() - worked
    assert rows > 0.9 * len(outcome.verdicts)
    parts.delete()
    return converted - started, ended - converted, worked, (highest_rss_kb() - before) / 1024


def _electrodes(channels: int) -> list[str]:
    return list(dict.fromkeys([*TCP19, *known_electrodes()]))[:channels]


def _record(shape: Shape, path: Path) -> Path:
    """Write a recording that repeats one minute of noise, so that any length fits in memory."""
    random = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(
            random.normal(0, 20, shape.rate_hz * RECORD_S),
            shape.rate_hz,
            label=f"EEG {name}-REF",
            physical_dimension="uV",
            physical_range=(-800, 800),
        )
        for name in _electrodes(shape.channels)
    ]
    edfio.Edf(signals, data_record_duration=1).write(path)
    whole = path.read_bytes()
    header, minute = whole[: 256 * (1 + shape.channels)], whole[256 * (1 + shape.channels) :]
    minutes = round(shape.hours * 60)
    with path.open("wb") as file:
        file.write(header[:236] + str(RECORD_S * minutes).encode().ljust(8) + header[244:])
        for _ in range(minutes):
            file.write(minute)
    return path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eeg", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, required=True, help="size of the recording")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians over (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    figures = measure(arguments.shape, arguments.rounds)
    show(figures, arguments.json)


if __name__ == "__main__":
    main()
