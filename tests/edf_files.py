"""Small EDF files for tests."""

import datetime
from pathlib import Path

import edfio
import numpy as np


def write_edf(path: Path, signals: dict[str, np.ndarray], rates: int | list[int] = 256, unit: str = "uV") -> Path:
    """One signal for each label, in `unit`, between −800 and 800."""
    rates = rates if isinstance(rates, list) else [rates] * len(signals)
    made = [
        edfio.EdfSignal(data, rate, label=label, physical_dimension=unit, physical_range=(-800, 800))
        for (label, data), rate in zip(signals.items(), rates, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = edfio.Recording(startdate=datetime.date(2015, 1, 1))
    edfio.Edf(made, recording=recording, data_record_duration=1).write(path)
    return path


def noise(seconds: int, rate: int = 256, seed: int = 0) -> np.ndarray:
    """White noise of 20 µV."""
    return np.random.default_rng(seed).normal(0, 20, seconds * rate)
