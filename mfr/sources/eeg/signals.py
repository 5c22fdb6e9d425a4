"""From EEG signals to vectors: filter, resample, cut into windows, standardise, flatten (paper, section 4.2).

A recording is taken in blocks of windows, so that its length costs no memory: a block is filtered with so much of the signal
around it that a whole recording filtered at once would differ by no more than rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, log

import numpy as np
from scipy.signal import butter, iirnotch, resample_poly, sos2zpk, sosfiltfilt, tf2sos

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError

VALUES_A_BLOCK = 1 << 23
NOTCH_Q = 30.0  # at 60 Hz, 2 Hz wide
SETTLED = 1e-12
TAPS_BESIDE = 10  # of resample_poly's filter, on either side, times the larger factor


def band_pass(rate: Fraction, parameters: PreprocessEeg) -> np.ndarray:
    """Second-order sections of the Butterworth band-pass, and of the notches that lie below half of `rate`.

    Not the polynomial form, which at 0.5 Hz and order 5 is numerically fragile.
    """
    edges = [parameters.low_hz, parameters.high_hz]
    sections = [butter(parameters.order, edges, btype="bandpass", fs=float(rate), output="sos")]
    sections += [tf2sos(*iirnotch(f, NOTCH_Q, fs=float(rate))) for f in parameters.notches_hz if f < rate / 2]
    return np.concatenate(sections)


def resample(signal: np.ndarray, ratio: Fraction) -> np.ndarray:
    """`signal` at `ratio` times its rate, by a polyphase filter along the last axis; T samples become ⌈T · ratio⌉."""
    return signal if ratio == 1 else resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1)


def windows(signals: np.ndarray, window: int, step: int) -> np.ndarray:
    """A view (windows, channels, window) of `signals` (channels, time); an incomplete last window is left out."""
    view = np.lib.stride_tricks.sliding_window_view(signals, window, axis=1)[:, ::step]
    return view.transpose(1, 0, 2)


def window_samples(parameters: PreprocessEeg) -> int:
    """Samples of a window, after resampling."""
    return round(parameters.window_s * parameters.rate_hz)


@dataclass(frozen=True)
class Block:
    """Windows `first` to `last` (excluded) of a recording, and its samples `start` to `stop` (excluded) that make them."""

    first: int
    last: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """How a recording of so many `samples` at `rate` becomes windows.

    Raises `UnusableError` where it is too short for one window or the filter, or sampled too slowly for the band.
    """

    samples: int
    rate: Fraction
    parameters: PreprocessEeg

    def __post_init__(self) -> None:
        needed = max(self.pad + 1, ceil(self.window * self.rate / Fraction(self.parameters.rate_hz)))
        if self.samples < needed:
            raise UnusableError(
                f"too short: {float(self.samples / self.rate):g} s, where window_s and low_hz need "
                f"{float(needed / self.rate):.4g} s"
            )
        needed_hz = 2 * self.parameters.high_hz
        if self.rate <= needed_hz:
            raise UnusableError(f"sampled too slowly: {float(self.rate):g} Hz, where high_hz needs more than {needed_hz:g} Hz")

    @property
    def window(self) -> int:
        """Samples of a window, after resampling."""
        return window_samples(self.parameters)

    @property
    def step(self) -> int:
        """Samples between the starts of two windows, after resampling."""
        return round(self.parameters.step_s * self.parameters.rate_hz)

    @property
    def pad(self) -> int:
        """Samples by which a recording is extended at either end before it is filtered: one period of the lower edge."""
        return int(self.rate / Fraction(self.parameters.low_hz))

    @cached_property
    def ratio(self) -> Fraction:
        """Samples after resampling for each before."""
        return (Fraction(str(self.parameters.rate_hz)) / self.rate).limit_denominator(10_000)

    @cached_property
    def count(self) -> int:
        """How many windows the recording has."""
        return (ceil(self.samples * self.ratio) - self.window) // self.step + 1

    @cached_property
    def sections(self) -> np.ndarray:
        """The filter."""
        return band_pass(self.rate, self.parameters)

    @cached_property
    def margin(self) -> int:
        """Samples after which filters and resampling have forgotten what was before."""
        slowest = np.abs(sos2zpk(self.sections)[1]).max()
        beside = TAPS_BESIDE * max(self.ratio.numerator, self.ratio.denominator) / self.ratio.numerator
        return ceil(log(SETTLED) / log(slowest)) + ceil(beside) + 1

    def blocks(self, channels: int) -> Iterator[Block]:
        """The recording's windows in blocks, whose values in all channels, before and after cutting, are bounded in number."""
        samples = max(VALUES_A_BLOCK // channels, 2 * self.margin)
        size = max(1, min(floor(samples * self.ratio) // self.step, VALUES_A_BLOCK // (channels * self.window)))
        for first in range(0, self.count, size):
            last = min(first + size, self.count)
            start = floor(first * self.step / self.ratio) - self.margin
            # At a multiple of the ratio's denominator, samples after resampling lie where they would lie in the whole.
            start = max(0, start // self.ratio.denominator * self.ratio.denominator)
            stop = ceil(((last - 1) * self.step + self.window) / self.ratio) + self.margin
            yield Block(first, last, start, min(stop, self.samples))

    def clean(self, raw: np.ndarray, block: Block) -> np.ndarray:
        """A block's signals (channels, time) float64, filtered and resampled, of the samples `raw` that it is made of.

        Filtered forwards and backwards: no phase, and twice the attenuation, −6 dB at both edges of the band.
        """
        begin = block.first * self.step - int(block.start * self.ratio)
        end = begin + (block.last - block.first - 1) * self.step + self.window
        # One channel after another, because the filter makes several copies.
        filtered = (sosfiltfilt(self.sections, channel, padlen=self.pad) for channel in raw)
        return np.stack([resample(channel, self.ratio)[begin:end] for channel in filtered])

    def raw_windows(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """First and last sample (included) of each of a block's windows before resampling, counted from the block's start."""
        starts = np.arange(block.first, block.last) * (self.step / self.parameters.rate_hz)
        rate, length = float(self.rate), self.window / self.parameters.rate_hz
        first, last = (np.ceil(edges * rate - 1e-6).astype(int) for edges in (starts, starts + length))
        last = np.minimum(last - 1, self.samples - 1)
        return first.clip(max=last) - block.start, last - block.start


def moments(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (…, channels) float64 over the time of `signals` (…, channels, time)."""
    return signals.mean(axis=-1, dtype=np.float64), signals.std(axis=-1, dtype=np.float64)


def standardise(signals: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Vectors (rows, channels · window) float32, one channel after another in a row, of windows (rows, channels, window).

    `mean` and `deviation` (rows, channels) are taken out; `microvolts` puts them back.
    """
    rows, channels, window = signals.shape
    vectors = (signals - mean[:, :, None]) / deviation[:, :, None]
    return vectors.reshape(rows, channels * window).astype(np.float32)


def microvolts(vectors: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The signals (rows, channels, window) in µV of standardised `vectors` (rows, channels · window).

    `mean` and `deviation` (rows, channels) are the columns that stand beside the vectors, or beside those of which these are
    reconstructions.
    """
    rows, channels = mean.shape
    return vectors.reshape(rows, channels, vectors.shape[1] // channels) * deviation[:, :, None] + mean[:, :, None]
