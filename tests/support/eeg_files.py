"""Small files of EEG vectors, such as preprocess_eeg writes."""

import json
from pathlib import Path

import numpy as np

from mfr.vectors.writer import VectorWriter

CHANNELS = ["FP1", "T3", "CZ", "O2"]
SAMPLES, RATE_HZ, STEP_S = 20, 100.0, 0.1


def write(path: Path, rows: int, seed: int) -> np.ndarray:
    """Windows (rows, 4, 20) in microvolts of two recordings, standardised to vectors.

    Three waves reach the channels, equally strong for every seed.
    """
    random = np.random.default_rng(seed)
    times = np.arange(SAMPLES + round(STEP_S * RATE_HZ) * rows) / RATE_HZ
    waves = np.sin(2 * np.pi * (np.array([[3.13], [7.29], [11.47]]) * times + random.uniform(size=(3, 1))))
    mixing = np.random.default_rng(9).normal(size=(len(CHANNELS), 3))
    signals = 30 * mixing @ waves + random.normal(size=(len(CHANNELS), len(times)))
    starts = np.arange(rows) * round(STEP_S * RATE_HZ)
    windows = np.stack([signals[:, start : start + SAMPLES] for start in starts])
    mean, deviation = windows.mean(axis=2), windows.std(axis=2)
    columns = {
        "vectors": ((len(CHANNELS) * SAMPLES,), "float32"),
        "recording": ((), "int32"),
        "start_s": ((), "float32"),
        "mean": ((len(CHANNELS),), "float32"),
        "deviation": ((len(CHANNELS),), "float32"),
    }
    with VectorWriter(path, "eeg", columns) as writer:
        writer.append(
            vectors=((windows - mean[:, :, None]) / deviation[:, :, None]).reshape(rows, -1),
            recording=np.arange(rows) >= rows // 2,
            start_s=starts / RATE_HZ,
            mean=mean,
            deviation=deviation,
        )
        facts = {"parameters": json.dumps({"standardise": "window_channel"}), "channels": json.dumps(CHANNELS)}
        for name, value in {**facts, "rate_hz": RATE_HZ, "window_samples": SAMPLES}.items():
            writer.describe(name, value)
    return windows
