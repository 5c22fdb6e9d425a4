"""Windows of EEG in a file of vectors, in microvolts, as preprocess_eeg left them."""

import json
from dataclasses import dataclass

import numpy as np

from mfr.denoising.denoisers import Reconstruct, denoised, standards
from mfr.denoising.noise import Shape
from mfr.sources.eeg.signals import microvolts
from mfr.vectors.reader import Vectors


@dataclass(frozen=True)
class Windows:
    """Clean windows (N, C, T) in microvolts, the mean and deviation (N, C) by which they were standardised, and how."""

    clean: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    how: str

    def denoised(self, noisy: np.ndarray, reconstruct: Reconstruct) -> np.ndarray:
        """Noisy versions (N, C, T) of these windows by way of their vectors."""
        mean, deviation = standards(noisy, self.mean, self.deviation, self.how)
        return denoised(noisy, mean, deviation, reconstruct)


def read_windows(vectors: Vectors, rows: slice | np.ndarray) -> Windows:
    """The windows of some rows, whose numbers rise, in float64."""
    values, mean, deviation = (vectors.column(name, rows).astype(np.float64) for name in ("vectors", "mean", "deviation"))
    return Windows(microvolts(values, mean, deviation), mean, deviation, json.loads(vectors.fact("parameters"))["standardise"])


def shape_of(vectors: Vectors, line_hz: float = 50.0) -> Shape:
    """What noise has to fit to be added to these windows."""
    rate_hz, samples = float(vectors.fact("rate_hz")), int(vectors.fact("window_samples"))
    return Shape(json.loads(vectors.fact("channels")), samples, rate_hz, line_hz)


def rows_in_turn(vectors: Vectors, shape: Shape, most: int) -> np.ndarray:
    """The first rows of the first recording whose windows follow each other without overlap, at most so many."""
    recording, start_s = vectors.attached("recording"), vectors.attached("start_s")
    rows: list[int] = []
    end_s = -np.inf
    for row in np.flatnonzero(recording == recording[0]).tolist():
        if start_s[row] > end_s - 0.5 / shape.rate_hz and len(rows) < most:
            rows.append(row)
            end_s = start_s[row] + shape.samples / shape.rate_hz
    return np.array(rows)
