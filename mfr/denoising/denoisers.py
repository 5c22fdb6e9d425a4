"""Denoising of EEG windows: linear references, and what is measured (shapes: N windows, C channels, T samples, d = C·T).

A noisy window goes the way of every vector: it is standardised, reconstructed, and brought back to microvolts with its own mean
and deviation. Nothing of the clean window is used but by the Wiener filter, which is told what no one knows in practice: the
kind of the noise and its strength.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh, solve

from mfr.denoising.noise import mean_square
from mfr.saes.ensemble import Ensemble
from mfr.sources.eeg.signals import microvolts

# Windows of few samples have directions without any power, in which nothing could be inverted.
FLOOR = 1e-6

Reconstruct = Callable[[np.ndarray], np.ndarray]


class Moments(NamedTuple):
    """Of training windows: mean (d) and covariance (d, d) of the vectors, and second moments (d, d) of the same windows in
    microvolts, each scaled to a mean square of 1."""

    mean: np.ndarray
    covariance: np.ndarray
    scaled: np.ndarray


class Scores(NamedTuple):
    """Means over windows: improvement of the signal-to-noise ratio in dB, and relative root mean square errors in time and in
    the power spectral density."""

    snr_gain_db: float
    rrmse_time: float
    rrmse_spectrum: float


def training_moments(blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """From blocks of vectors (N, d) and the same windows in microvolts (N, C, T)."""
    rows, total, squares, scaled = 0, np.zeros(()), np.zeros(()), np.zeros(())
    for vectors, windows in blocks:
        vectors = vectors.astype(np.float64)
        unit = (windows / np.sqrt(mean_square(windows))[:, None, None]).reshape(len(windows), -1)
        rows, total, squares = rows + len(vectors), total + vectors.sum(axis=0), squares + vectors.T @ vectors
        scaled = scaled + unit.T @ unit
    mean = total / rows
    return Moments(mean, squares / rows - np.outer(mean, mean), scaled / rows)


def principal_components(moments: Moments, most: int) -> np.ndarray:
    """The components (most, d) of the largest variance, that of the largest first."""
    size = len(moments.mean)
    _, components = eigh(moments.covariance, subset_by_index=[size - most, size - 1])
    return components.T[::-1]


def pca(moments: Moments, components: np.ndarray) -> Reconstruct:
    """The projection of vectors (N, d) on the mean and these components (k, d)."""
    return lambda vectors: (vectors - moments.mean) @ components.T @ components + moments.mean


def wiener(signal: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """The linear estimate (d, d) of least mean squared error, S (S + r N)⁻¹ with r the noise's power at this ratio.

    S and N are second moments about 0 at a mean square of 1, so that r alone sets the noise's strength, window by window.
    """
    mixed = signal + 10 ** (-snr_db / 10) * noise + FLOOR * np.eye(len(signal))
    return solve(mixed, signal, assume_a="pos").T


def standards(noisy: np.ndarray, mean: np.ndarray, deviation: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (N, C) by which noisy windows are standardised, as `how` says (preprocess_eeg.standardise).

    Those of a window are its own, noise and all; those of a recording, `mean` and `deviation`, are known from the rest of it.
    """
    if how != "window_channel":
        return mean, deviation
    return noisy.mean(axis=2), noisy.std(axis=2)


def denoised(noisy: np.ndarray, mean: np.ndarray, deviation: np.ndarray, reconstruct: Reconstruct) -> np.ndarray:
    """`noisy` (N, C, T) through `reconstruct`, standardised by `mean` and `deviation` (N, C) on the way in and out."""
    vectors = (noisy - mean[:, :, None]) / deviation[:, :, None]
    return microvolts(reconstruct(vectors.reshape(len(noisy), -1)), mean, deviation)


def reconstruction(saes: Ensemble, sae: int) -> Reconstruct:
    """One SAE as a function of float64 arrays."""

    def reconstruct(vectors: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(vectors).float().to(saes.W.device)
        return saes.reconstruct(sae, x).double().cpu().numpy()

    return reconstruct


def scores(clean: np.ndarray, noisy: np.ndarray, estimate: np.ndarray) -> Scores:
    """How much nearer an `estimate` (N, C, T) is to the clean windows than the noisy ones are."""
    before, after = mean_square(noisy - clean), mean_square(estimate - clean)
    spectra, found = spectrum(clean), spectrum(estimate)
    return Scores(
        snr_gain_db=float(10 * np.log10(before / after).mean()),
        rrmse_time=float(np.sqrt(after / mean_square(clean)).mean()),
        rrmse_spectrum=float(np.sqrt(mean_square(found - spectra) / mean_square(spectra)).mean()),
    )


def spectrum(windows: np.ndarray) -> np.ndarray:
    """Power at each frequency (N, C, T // 2 + 1), the constant part among them: the periodogram, of no particular unit."""
    return np.abs(np.fft.rfft(windows, axis=2)) ** 2
