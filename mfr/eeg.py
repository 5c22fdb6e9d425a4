"""From EEG signals to vectors: band-pass, resample, cut into windows, standardise, flatten (paper, section 4.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from mfr.edf import UnusableError
from mfr.params import PreprocessEeg

FLAT_UV = 1e-6  # far below the resolution of any amplifier
WINDOWS_A_BLOCK = 4096


@dataclass(frozen=True)
class Recording:
    """Filtered signals (channels, time) float32 in microvolts, and which windows (windows, channels) were constant before."""

    signals: np.ndarray
    constant: np.ndarray


def filter_pad(rate: Fraction, low_hz: float) -> int:
    """Samples by which a signal is extended at either end before it is filtered: one period of the lower edge."""
    return int(rate / Fraction(low_hz))


def band_pass(signal: np.ndarray, rate: Fraction, low_hz: float, high_hz: float, order: int) -> np.ndarray:
    """Butterworth band-pass along the last axis, forwards and backwards: no phase, −6 dB at both edges.

    Second-order sections, because the polynomial form of a 5th-order band-pass at 0.5 Hz is numerically fragile.
    """
    sections = butter(order, [low_hz, high_hz], btype="bandpass", fs=float(rate), output="sos")
    return sosfiltfilt(sections, signal, padlen=filter_pad(rate, low_hz))


def resample(signal: np.ndarray, rate: Fraction, rate_hz: float) -> np.ndarray:
    """`signal` at `rate_hz`, by a polyphase filter along the last axis; T samples become ⌈T · rate_hz / rate⌉."""
    ratio = (Fraction(str(rate_hz)) / rate).limit_denominator(10_000)
    return signal if ratio == 1 else resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1)


def window_samples(parameters: PreprocessEeg) -> tuple[int, int]:
    """Samples of a window, and between the starts of two."""
    return round(parameters.window_s * parameters.rate_hz), round(parameters.step_s * parameters.rate_hz)


def windows(signals: np.ndarray, window: int, step: int) -> np.ndarray:
    """A view (windows, channels, window) of `signals` (channels, time); an incomplete last window is left out."""
    view = np.lib.stride_tricks.sliding_window_view(signals, window, axis=1)[:, ::step]
    return view.transpose(1, 0, 2)


def check_usable(samples: int, rate: Fraction, parameters: PreprocessEeg) -> None:
    """Raises `UnusableError` for a recording too short for one window or the filter, or sampled too slowly for the band."""
    window, _ = window_samples(parameters)
    needed = max(filter_pad(rate, parameters.low_hz) + 1, ceil(window * rate / Fraction(parameters.rate_hz)))
    if samples < needed:
        seconds = float(samples / rate)
        raise UnusableError(f"too short: {seconds:g} s, where window_s and low_hz need {float(needed / rate):.4g} s")
    if rate <= 2 * parameters.high_hz:
        needed_hz = 2 * parameters.high_hz
        raise UnusableError(f"sampled too slowly: {float(rate):g} Hz, where high_hz needs more than {needed_hz:g} Hz")


def clean(channels: Iterable[np.ndarray], rate: Fraction, parameters: PreprocessEeg) -> Recording:
    """Filter and resample one channel after another, each (time,) in microvolts at `rate`."""
    window, step = window_samples(parameters)
    signals, constant = [], []
    for raw in channels:
        filtered = band_pass(raw, rate, parameters.low_hz, parameters.high_hz, parameters.order)
        signals.append(resample(filtered, rate, parameters.rate_hz).astype(np.float32))
        starts = np.arange(0, len(signals[0]) - window + 1, step) / parameters.rate_hz
        constant.append(_constant(raw, float(rate), starts, window / parameters.rate_hz))
    return Recording(np.stack(signals), np.stack(constant, axis=1))


def _constant(raw: np.ndarray, rate: float, starts_s: np.ndarray, window_s: float) -> np.ndarray:
    # Looked for before the filter, which rings for seconds after a lead comes off.
    changes = np.concatenate([[0], np.cumsum(raw[1:] != raw[:-1])])
    first = np.ceil(starts_s * rate - 1e-6).astype(int)
    last = np.ceil((starts_s + window_s) * rate - 1e-6).astype(int) - 1
    return changes[last.clip(max=len(raw) - 1)] == changes[first.clip(max=len(raw) - 1)]


def vectorise(recording: Recording, parameters: PreprocessEeg) -> Iterator[dict[str, np.ndarray]]:
    """Blocks of float32 columns: vectors (rows, channels · window), channel after channel in a row, start_s (rows,), and

    mean and deviation (rows, channels), from which `microvolts` makes the filtered signal again. A window in which a channel
    is constant gives no row.
    """
    window, step = window_samples(parameters)
    every = windows(recording.signals, window, step)
    whole = moments(recording.signals)
    for start in range(0, len(every), WINDOWS_A_BLOCK):
        block = every[start : start + WINDOWS_A_BLOCK]
        mean, deviation = moments(block)
        constant = recording.constant[start : start + WINDOWS_A_BLOCK] | (deviation[:, :, 0] <= FLAT_UV)
        kept = ~constant.any(axis=1)
        mean, deviation = mean[kept], deviation[kept]
        if parameters.standardise == "recording_channel":
            mean, deviation = np.broadcast_to(whole[0], mean.shape), np.broadcast_to(whole[1], mean.shape)
        elif parameters.standardise == "none":
            mean, deviation = np.zeros_like(mean), np.ones_like(mean)
        rows = (block[kept] - mean) / deviation
        columns = {
            "vectors": rows.reshape(len(rows), len(recording.signals) * window),
            "start_s": (start + np.flatnonzero(kept)) * (step / parameters.rate_hz),
            "mean": mean[:, :, 0],
            "deviation": deviation[:, :, 0],
        }
        yield {name: values.astype(np.float32) for name, values in columns.items()}


def microvolts(vectors: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The signals (rows, channels, window) in µV of standardised `vectors` (rows, channels · window).

    `mean` and `deviation` (rows, channels) are the columns that stand beside the vectors, or beside those of which these are
    reconstructions.
    """
    return vectors.reshape(*mean.shape, -1) * deviation[:, :, None] + mean[:, :, None]


def moments(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (…, channels, 1) float64 over the time of `signals` (…, channels, time)."""
    mean = signals.mean(axis=-1, keepdims=True, dtype=np.float64)
    return mean, signals.std(axis=-1, keepdims=True, dtype=np.float64)
