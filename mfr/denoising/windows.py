"""EEG windows in microvolts from a file of vectors that preprocess_eeg wrote."""

import json
from dataclasses import dataclass

import numpy as np

from mfr.denoising.denoisers import Reconstruct, denoised, standards
from mfr.denoising.noise import Shape
from mfr.sources.eeg.signals import microvolts
from mfr.vectors.reader import Vectors


@dataclass(frozen=True)
class Windows:
    """Clean windows in microvolts, and what standardised them."""

    clean: np.ndarray  # (N, C, T)
    mean: np.ndarray  # (N, C)
    deviation: np.ndarray  # (N, C)
    how: str  # preprocess_eeg.standardise

    def denoised(self, noisy: np.ndarray, reconstruct: Reconstruct) -> np.ndarray:
        """Estimates (N, C, T) of these windows by `reconstruct`, from noisy versions (N, C, T)."""
        mean, deviation = standards(noisy, self.mean, self.deviation, self.how)
        return denoised(noisy, mean, deviation, reconstruct)


def read_windows(vectors: Vectors, rows: slice | np.ndarray) -> Windows:
    """Windows of `rows`, which must be in ascending order, as float64."""
    values, mean, deviation = (vectors.column(name, rows).astype(np.float64) for name in ("vectors", "mean", "deviation"))
    return Windows(microvolts(values, mean, deviation), mean, deviation, json.loads(vectors.fact("parameters"))["standardise"])


def shape_of(vectors: Vectors, line_hz: float = 50.0) -> Shape:
    """Shape of the noise that can be added to the windows of `vectors`."""
    rate_hz, samples = float(vectors.fact("rate_hz")), int(vectors.fact("window_samples"))
    return Shape(json.loads(vectors.fact("channels")), samples, rate_hz, line_hz)


def rows_in_turn(vectors: Vectors, shape: Shape, most: int) -> np.ndarray:
    """Rows of the first recording's first `most` windows that do not overlap, (rows,)."""
    recording, start_s = vectors.attached("recording"), vectors.attached("start_s")
    rows: list[int] = []
    end_s = -np.inf
    for row in np.flatnonzero(recording == recording[0]).tolist():
        if start_s[row] > end_s - 0.5 / shape.rate_hz and len(rows) < most:
            rows.append(row)
            end_s = start_s[row] + shape.samples / shape.rate_hz
    return np.array(rows)
