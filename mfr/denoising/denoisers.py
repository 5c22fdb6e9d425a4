"""Denoise EEG windows with SAEs and linear references, and score the estimates.

A noisy window is treated like any vector: it is standardised, reconstructed, and converted back to microvolts with the same
mean and deviation. Only the Wiener filter is given what nobody knows in practice: the kind of the noise and its strength.

Shapes: N windows, C channels, T samples, d = C·T.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh, solve

from mfr.denoising.noise import mean_square
from mfr.saes.ensemble import Ensemble
from mfr.sources.eeg.signals import microvolts

# Added to the diagonal, because short windows have directions without power, which make the matrix singular.
FLOOR = 1e-6

Reconstruct = Callable[[np.ndarray], np.ndarray]


class Moments(NamedTuple):
    """Moments of training vectors, and of the same windows in microvolts."""

    mean: np.ndarray  # (d,), of the vectors
    covariance: np.ndarray  # (d, d), of the vectors
    scaled: np.ndarray  # (d, d), second moments of the windows, each scaled to a mean square of 1


class Scores(NamedTuple):
    """Scores of a denoiser, each a mean over windows."""

    snr_gain_db: float  # improvement of the signal-to-noise ratio
    rrmse_time: float  # relative root mean square error of the signal
    rrmse_spectrum: float  # the same of the power spectral density


def training_moments(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """Moments from blocks of vectors (N, d) and the same windows in microvolts (N, C, T)."""
    rows, total, squares, scaled = 0, np.zeros(()), np.zeros(()), np.zeros(())
    for vectors, windows in blocks:
        vectors = vectors.astype(np.float64)
        unit = (windows / np.sqrt(mean_square(windows))[:, None, None]).reshape(len(windows), -1)
        rows, total, squares = rows + len(vectors), total + vectors.sum(axis=0), squares + vectors.T @ vectors
        scaled = scaled + unit.T @ unit
    mean = total / rows
    return Moments(mean, squares / rows - np.outer(mean, mean), scaled / rows)


def principal_components(moments: Moments, most: int) -> np.ndarray:
    """The `most` components of largest variance, (most, d), in descending order."""
    size = len(moments.mean)
    _, components = eigh(moments.covariance, subset_by_index=[size - most, size - 1])
    descending: np.ndarray = components.T[::-1]
    return descending


def pca(moments: Moments, components: np.ndarray) -> Reconstruct:
    """Function that projects vectors (N, d) onto the mean plus the span of `components` (k, d)."""
    return lambda vectors: (vectors - moments.mean) @ components.T @ components + moments.mean


def wiener(signal: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Matrix (d, d) of the linear estimate of least mean squared error, S (S + r N)⁻¹.

    S is `signal` and N is `noise`: second moments (d, d) about 0 of windows scaled to a mean square of 1. r is the power ratio
    of noise to signal at `snr_db`, and so the noise's strength in every window.
    """
    mixed = signal + 10 ** (-snr_db / 10) * noise + FLOOR * np.eye(len(signal))
    matrix: np.ndarray = solve(mixed, signal, assume_a="pos").T
    return matrix


def standards(noisy: np.ndarray, mean: np.ndarray, deviation: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (N, C) that standardise noisy windows (N, C, T).

    `how` is preprocess_eeg.standardise. For `window_channel` they are measured on the noisy window itself. Otherwise they are
    `mean` and `deviation`, which belong to the whole recording.
    """
    if how != "window_channel":
        return mean, deviation
    return noisy.mean(axis=2), noisy.std(axis=2)


def denoised(noisy: np.ndarray, mean: np.ndarray, deviation: np.ndarray, reconstruct: Reconstruct) -> np.ndarray:
    """Estimates (N, C, T) in microvolts of the clean windows, from `noisy` windows (N, C, T).

    `mean` and `deviation` (N, C) standardise the input of `reconstruct`, and are undone in its output.
    """
    vectors = (noisy - mean[:, :, None]) / deviation[:, :, None]
    return microvolts(reconstruct(vectors.reshape(len(noisy), -1)), mean, deviation)


def reconstruction(saes: Ensemble, sae: int) -> Reconstruct:
    """Function that reconstructs vectors (N, d) float64 with one SAE."""

    def reconstruct(vectors: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(vectors).float().to(saes.W.device)
        reconstructed: np.ndarray = saes.reconstruct(sae, x).double().cpu().numpy()
        return reconstructed

    return reconstruct


def scores(clean: np.ndarray, noisy: np.ndarray, estimate: np.ndarray) -> Scores:
    """Scores of an `estimate` of `clean` windows from `noisy` ones, all (N, C, T)."""
    before, after = mean_square(noisy - clean), mean_square(estimate - clean)
    spectra, found = spectrum(clean), spectrum(estimate)
    return Scores(
        snr_gain_db=float(10 * np.log10(before / after).mean()),
        rrmse_time=float(np.sqrt(after / mean_square(clean)).mean()),
        rrmse_spectrum=float(np.sqrt(mean_square(found - spectra) / mean_square(spectra)).mean()),
    )


def spectrum(windows: np.ndarray) -> np.ndarray:
    """Periodogram (N, C, T // 2 + 1) in arbitrary units, including 0 Hz."""
    return np.abs(np.fft.rfft(windows, axis=2)) ** 2
