"""Which windows of a recording are of no use, and whether its amplitude fits its unit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log10

import numpy as np

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError

REASONS = ("flat", "clipped", "noisy")
FLAT_UV = 1e-6  # far below the resolution of any amplifier
HELD = 3  # samples in a row at a channel's highest or lowest value, which a signal that is not cut off hardly has
PLAUSIBLE_UV = (0.05, 2000.0)
TYPICAL_UV = 10.0


@dataclass(frozen=True)
class Marks:
    """What is seen of windows before the filter, which rings for seconds after a lead comes off; each (windows, electrodes).

    Whether a channel is constant; its highest and lowest value in microvolts; and whether it is held there.
    """

    constant: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray
    held_high: np.ndarray
    held_low: np.ndarray

    @staticmethod
    def joined(parts: "Sequence[Marks]") -> "Marks":
        """The marks of windows that follow each other."""
        return Marks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Marks)))

    @property
    def clipped(self) -> np.ndarray:
        """Windows (windows,) in which a channel is held at its highest or lowest value in the whole recording."""
        high = self.held_high & (self.highest == self.highest.max(axis=0))
        low = self.held_low & (self.lowest == self.lowest.min(axis=0))
        return (high | low).any(axis=1)


def marks(raw: np.ndarray, first: np.ndarray, last: np.ndarray) -> Marks:
    """Marks of windows from sample `first` to `last` (included) of `raw` (electrodes, time)."""
    return Marks(*(np.stack(column, axis=1) for column in zip(*(_marks(signal, first, last) for signal in raw), strict=True)))


def _marks(signal: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, ...]:
    highest, lowest = _each(np.maximum, signal, first, last), _each(np.minimum, signal, first, last)
    same = signal[1:] == signal[:-1]
    held = np.flatnonzero(same[1:] & same[:-1])  # where HELD equal samples begin
    high, low = np.zeros(len(first), bool), np.zeros(len(first), bool)
    if len(held):
        values = np.full((2, len(signal)), [[-np.inf], [np.inf]])
        values[:, held] = signal[held]
        enough = last - first >= HELD - 1
        inside = np.where(enough, last - (HELD - 1), first)
        high = enough & (_each(np.maximum, values[0], first, inside) == highest)
        low = enough & (_each(np.minimum, values[1], first, inside) == lowest)
    return highest == lowest, highest.astype(np.float32), lowest.astype(np.float32), high, low


def _each(reduce: np.ufunc, signal: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """`reduce` over each of the parts from sample `first` to `last` (included)."""
    bounds = np.stack([first, last], axis=1).ravel()
    # reduceat leaves out the last sample of a part.
    return reduce(reduce.reduceat(signal, bounds)[::2], signal[last])


def unit_factor(deviation: np.ndarray, correct: bool) -> float:
    """By what a recording has to be multiplied to be in microvolts: 1 where its amplitude is plausible.

    `deviation` (windows, channels) are standard deviations in windows. Raises `UnusableError` for an amplitude beyond
    `PLAUSIBLE_UV` that is not to be corrected.
    """
    amplitude = float(np.median(deviation))
    if PLAUSIBLE_UV[0] <= amplitude <= PLAUSIBLE_UV[1]:
        return 1.0
    if not correct or amplitude == 0:
        raise UnusableError(
            f"implausible amplitude: {amplitude:.3g} µV, as of a wrong unit; preprocess_eeg.wrong_units: correct rescales it"
        )
    return 1000.0 ** -round(log10(amplitude / TYPICAL_UV) / 3)


def verdicts(seen: Marks, deviation: np.ndarray, parameters: PreprocessEeg) -> np.ndarray:
    """Of each window, 0 where it is kept, or 1 + the place in `REASONS` of the first reason to drop it; (windows,) uint8.

    `deviation` (windows, channels), in microvolts, is that of the filtered windows.
    """
    found = np.zeros(len(deviation), np.uint8)
    if parameters.noisy_above is not None:
        good = ~seen.constant.any(axis=1) & ~seen.clipped
        usual = np.median(deviation[good], axis=0) if good.any() else np.inf
        found[(deviation > parameters.noisy_above * usual).any(axis=1)] = 1 + REASONS.index("noisy")
    found[seen.clipped] = 1 + REASONS.index("clipped")
    found[seen.constant.any(axis=1) | (deviation <= FLAT_UV).any(axis=1)] = 1 + REASONS.index("flat")
    return found
