"""Turn EEG signals into vectors: filter, resample, cut, standardise (paper, section 4.2).

A recording is filtered in blocks of windows, so that memory does not grow with its length. Each block is filtered together
with a margin of signal on both sides. The margin is wide enough that the result equals filtering the whole recording at once,
up to rounding.

Equal samples give equal vectors on any x86-64 processor. Signals go through sums and products in a fixed order only. The last
bits of a filter's design depend on the processor, so its coefficients are rounded to fewer bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, log

import numpy as np
from scipy.signal import butter, firwin, iirnotch, resample_poly, sos2zpk, sosfilt

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError

VALUES_A_BLOCK = 1 << 23  # bounds a block's memory
NOTCH_Q = 30.0  # 2 Hz wide at 60 Hz
SETTLED = 1e-12  # share of a filter's response that may remain beyond the margin
TAPS_BESIDE = 10  # half-length of the filter of `resample`, as a multiple of the larger factor
KAISER_BETA = 5.0  # as in scipy's resample_poly
# Few enough to hide the last bits of a filter's design. About one design in 1000 is so close to a tie that they still show.
# Sections need more than taps, because their poles are close to 1. 38 bits change the response by less than 1e-7 at 250 Hz and
# low_hz 0.5, and by 0.4 % at 20 kHz and low_hz 0.1.
SECTION_BITS, TAP_BITS = 38, 30


def band_pass(rate: Fraction, parameters: PreprocessEeg) -> np.ndarray:
    """Second-order sections of the band-pass and of the notches below half of `rate`.

    The band-pass is a Butterworth filter. Its polynomial form is numerically unstable at 0.5 Hz and order 5.
    """
    edges = [parameters.low_hz, parameters.high_hz]
    sections = [*butter(parameters.order, edges, btype="bandpass", fs=float(rate), output="sos")]
    sections += [np.concatenate(iirnotch(f, NOTCH_Q, fs=float(rate))) for f in parameters.notches_hz if f < rate / 2]
    halves = np.stack(sections).reshape(-1, 2, 3)  # numerator and denominator
    return rounded(halves, SECTION_BITS).reshape(-1, 6)


def rounded(coefficients: np.ndarray, bits: int) -> np.ndarray:
    """`coefficients` rounded to multiples of a power of 2, of which the largest in each row keeps `bits` significant bits."""
    _, exponent = np.frexp(np.abs(coefficients).max(axis=-1, keepdims=True))
    nearest: np.ndarray = np.ldexp(np.rint(np.ldexp(coefficients, bits - exponent)), exponent - bits)
    return nearest


def zero_phase(sections: np.ndarray, signal: np.ndarray, pad: int) -> np.ndarray:
    """`signal` (time,) filtered forwards and backwards by second-order `sections` (sections, 6).

    It is scipy's `sosfiltfilt` without LAPACK, whose rounding depends on the processor. Each end is first extended by `pad`
    samples, mirrored in time and about the end's value.
    """
    before, after = 2 * signal[0] - signal[pad:0:-1], 2 * signal[-1] - signal[-2 : -2 - pad : -1]
    passed = np.concatenate([before, signal, after])
    steady = _steady(sections)
    for _ in range(2):
        passed = sosfilt(sections, passed, zi=steady * passed[0])[0][::-1]
    filtered: np.ndarray = passed[pad : pad + len(signal)]
    return filtered


def _steady(sections: np.ndarray) -> np.ndarray:
    """States (sections, 2) of `sosfilt` that a constant input of 1 leaves unchanged."""
    top, bottom = sections[:, :3], sections[:, 3:]
    gain = top.sum(axis=1) / bottom.sum(axis=1)
    level = np.concatenate([[1.0], np.cumprod(gain)[:-1]])  # input of each section
    states: np.ndarray = level[:, None] * np.stack([gain - top[:, 0], top[:, 2] - bottom[:, 2] * gain], axis=1)
    return states


def resample(signal: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Resample the last axis of `signal` to `ratio` times its rate with a polyphase filter.

    T samples become ⌈T · ratio⌉.
    """
    if ratio == 1:
        return signal
    factor = max(ratio.numerator, ratio.denominator)
    taps = firwin(2 * TAPS_BESIDE * factor + 1, 1 / factor, window=("kaiser", KAISER_BETA))
    resampled: np.ndarray = resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1, window=rounded(taps, TAP_BITS))
    return resampled


def windows(signals: np.ndarray, window: int, step: int) -> np.ndarray:
    """View (windows, channels, window) of the complete windows of `signals` (channels, time)."""
    view = np.lib.stride_tricks.sliding_window_view(signals, window, axis=1)[:, ::step]
    return view.transpose(1, 0, 2)


def window_samples(parameters: PreprocessEeg) -> int:
    """Number of samples in a window, after resampling."""
    return round(parameters.window_s * parameters.rate_hz)


@dataclass(frozen=True)
class Block:
    """Windows `first` to `last` of a recording, and the samples `start` to `stop` to filter.

    `last` and `stop` are exclusive.
    """

    first: int
    last: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """How a recording with `samples` samples at `rate` is filtered and cut into windows.

    Raises `UnusableError` if it is too short for one window or for the filter, or if `rate` is too low for the band.
    """

    samples: int
    rate: Fraction
    parameters: PreprocessEeg

    def __post_init__(self) -> None:
        needed = max(self.pad + 1, ceil(self.window * self.rate / Fraction(self.parameters.rate_hz)))
        if self.samples < needed:
            raise UnusableError(
                f"too short: {float(self.samples / self.rate):g} s, but window_s and low_hz need "
                f"{float(needed / self.rate):.4g} s"
            )
        needed_hz = 2 * self.parameters.high_hz
        if self.rate <= needed_hz:
            raise UnusableError(f"sampled too slowly: {float(self.rate):g} Hz, but high_hz needs more than {needed_hz:g} Hz")

    @property
    def window(self) -> int:
        """Number of samples in a window, after resampling."""
        return window_samples(self.parameters)

    @property
    def step(self) -> int:
        """Number of samples between the starts of two windows, after resampling."""
        return round(self.parameters.step_s * self.parameters.rate_hz)

    @property
    def pad(self) -> int:
        """Number of samples added at either end for the filter: one period of `low_hz`."""
        return int(self.rate / Fraction(self.parameters.low_hz))

    @cached_property
    def ratio(self) -> Fraction:
        """Rate after resampling, as a multiple of `rate`."""
        return (Fraction(str(self.parameters.rate_hz)) / self.rate).limit_denominator(10_000)

    @cached_property
    def count(self) -> int:
        """Number of windows in the recording."""
        return (ceil(self.samples * self.ratio) - self.window) // self.step + 1

    @cached_property
    def sections(self) -> np.ndarray:
        """Second-order sections of the filter."""
        return band_pass(self.rate, self.parameters)

    @cached_property
    def margin(self) -> int:
        """Number of samples after which earlier ones no longer affect filter and resampling."""
        slowest = np.abs(sos2zpk(self.sections)[1]).max()  # LAPACK's last bits vary by processor; rounding up hides this
        beside = TAPS_BESIDE * max(self.ratio.numerator, self.ratio.denominator) / self.ratio.numerator
        return ceil(log(SETTLED) / log(slowest)) + ceil(beside) + 1

    def blocks(self, channels: int) -> Iterator[Block]:
        """Blocks that together cover the recording's windows.

        `VALUES_A_BLOCK` bounds a block's values in all channels, before and after cutting.
        """
        samples = max(VALUES_A_BLOCK // channels, 2 * self.margin)
        size = max(1, min(floor(samples * self.ratio) // self.step, VALUES_A_BLOCK // (channels * self.window)))
        for first in range(0, self.count, size):
            last = min(first + size, self.count)
            start = floor(first * self.step / self.ratio) - self.margin
            # From a multiple of the ratio's denominator, resampling gives the same sample times as in the whole recording.
            start = max(0, start // self.ratio.denominator * self.ratio.denominator)
            stop = ceil(((last - 1) * self.step + self.window) / self.ratio) + self.margin
            yield Block(first, last, start, min(stop, self.samples))

    def clean(self, raw: np.ndarray, block: Block) -> np.ndarray:
        """Filtered and resampled signals (channels, time) float64 of a block.

        `raw` (channels, stop − start) are the block's samples. The filter runs forwards and backwards. That gives zero phase
        and twice the attenuation in dB: −6 dB at the band's edges.
        """
        begin = block.first * self.step - int(block.start * self.ratio)
        end = begin + (block.last - block.first - 1) * self.step + self.window
        # One channel at a time, because the filter makes several copies.
        filtered = (zero_phase(self.sections, channel, self.pad) for channel in raw)
        return np.stack([resample(channel, self.ratio)[begin:end] for channel in filtered])

    def raw_windows(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """First and last sample (inclusive) of each window of a block, before resampling.

        They are counted from `block.start`.
        """
        starts = np.arange(block.first, block.last) * (self.step / self.parameters.rate_hz)
        rate, length = float(self.rate), self.window / self.parameters.rate_hz
        first, last = (np.ceil(edges * rate - 1e-6).astype(int) for edges in (starts, starts + length))
        last = np.minimum(last - 1, self.samples - 1)
        return first.clip(max=last) - block.start, last - block.start


def moments(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (…, channels) float64 of `signals` (…, channels, time)."""
    return signals.mean(axis=-1, dtype=np.float64), signals.std(axis=-1, dtype=np.float64)


def standardise(signals: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Standardised windows as vectors (rows, channels · window) float32, channel by channel.

    `signals` is (rows, channels, window), `mean` and `deviation` are (rows, channels). `microvolts` is the inverse.
    """
    rows, channels, window = signals.shape
    vectors: np.ndarray = (signals - mean[:, :, None]) / deviation[:, :, None]
    return vectors.reshape(rows, channels * window).astype(np.float32)


def microvolts(vectors: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Signals (rows, channels, window) in microvolts of standardised `vectors`.

    `vectors` is (rows, channels · window). `mean` and `deviation` (rows, channels) are those that standardised them, or that
    standardised the vectors of which they are reconstructions.
    """
    rows, channels = mean.shape
    shaped = vectors.reshape(rows, channels, vectors.shape[1] // channels)
    signals: np.ndarray = shaped * deviation[:, :, None] + mean[:, :, None]
    return signals
