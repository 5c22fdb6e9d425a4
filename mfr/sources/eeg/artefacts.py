"""Find windows with artefacts, and recordings whose amplitude does not fit their unit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from math import log10

import numpy as np
from scipy.signal import welch

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.formats import VOLTS

REASONS = ("flat", "clipped", "noisy")
FLAT_UV = 1e-6  # far below the resolution of any amplifier
HELD = 3  # equal samples in a row at a channel's extreme value; rare in a signal that is not clipped
PLAUSIBLE_UV = (0.05, 2000.0)
TYPICAL_UV = 10.0
MOST_THOUSANDS = 2  # between microvolts and volts
FALL = 4.0


@dataclass(frozen=True)
class Marks:
    """Properties of windows before the filter, each (windows, electrodes).

    `constant` is whether the channel is constant, `highest` and `lowest` are its extremes in microvolts, and `held_high` and
    `held_low` are whether it stays there for `HELD` samples. The filtered signal would not do: the filter rings for seconds
    after a lead comes off.
    """

    constant: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray
    held_high: np.ndarray
    held_low: np.ndarray

    @staticmethod
    def joined(parts: "Sequence[Marks]") -> "Marks":
        """Marks of consecutive blocks of windows as one."""
        return Marks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Marks)))

    @property
    def clipped(self) -> np.ndarray:
        """Whether a channel stays at its extreme value of the whole recording, (windows,)."""
        high = self.held_high & (self.highest == self.highest.max(axis=0))
        low = self.held_low & (self.lowest == self.lowest.min(axis=0))
        clipped: np.ndarray = (high | low).any(axis=1)
        return clipped


def marks(raw: np.ndarray, first: np.ndarray, last: np.ndarray) -> Marks:
    """Marks of windows of `raw` (electrodes, time), from sample `first` to `last` inclusive."""
    return Marks(*(np.stack(column, axis=1) for column in zip(*(_marks(signal, first, last) for signal in raw), strict=True)))


def _marks(signal: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, ...]:
    """Columns of `Marks` for one electrode, each (windows,)."""
    highest, lowest = _each(np.maximum, signal, first, last), _each(np.minimum, signal, first, last)
    same = signal[1:] == signal[:-1]
    held = np.flatnonzero(same[1:] & same[:-1])  # first of HELD equal samples
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
    """`reduce` over each window from sample `first` to `last` (inclusive), (windows,)."""
    bounds = np.stack([first, last], axis=1).ravel()
    # reduceat excludes a window's last sample.
    reduced: np.ndarray = reduce(reduce.reduceat(signal, bounds)[::2], signal[last])
    return reduced


def unit_factor(deviation: np.ndarray, stated: Collection[str], parameters: PreprocessEeg) -> float:
    """Factor that converts a recording to microvolts: 1, or a power of 1000.

    `deviation` (windows, channels) is the standard deviation of each window; its median is the recording's amplitude. The
    factor is 1 if that is plausible. Otherwise it is the one from the only unit in `stated`, that of the file, to
    `parameters.unit`, if it makes the amplitude plausible, or what `parameters.wrong_units` allows. Raises `UnusableError` if
    there is no such factor. The caller checks that the spectrum is that of EEG (`check_spectrum`).
    """
    amplitude = float(np.median(deviation))
    if _plausible(amplitude):
        return 1.0
    wrong = f"implausible amplitude: {amplitude:.3g} µV"
    if amplitude == 0:
        raise UnusableError(f"{wrong}: most windows are constant")
    known = [unit for unit in stated if unit in VOLTS]
    if parameters.unit is not None and len(stated) == len(known) == 1:
        factor = VOLTS[parameters.unit] / VOLTS[known[0]]
        if _plausible(amplitude * factor):
            return factor
    if parameters.wrong_units != "correct":
        raise UnusableError(
            f"{wrong} (check the unit in its header; preprocess_eeg.unit states the right one, or wrong_units: correct guesses "
            "it if the spectrum is that of EEG)"
        )
    power = -round(log10(amplitude / TYPICAL_UV) / 3)
    if len(stated) != 1 or abs(power) > MOST_THOUSANDS:
        raise UnusableError(f"{wrong}, and no confusion of uV, mV and V in all channels explains it")
    factor = 1000.0**power
    return factor


def _plausible(amplitude: float) -> bool:
    return PLAUSIBLE_UV[0] <= amplitude <= PLAUSIBLE_UV[1]


def check_spectrum(signals: np.ndarray, rate: float) -> None:
    """Raise `UnusableError` if unfiltered `signals` (electrodes, time) have no spectrum of EEG, in whatever unit.

    The mean power density from 2 to 13 Hz must be at least `FALL` times that from 30 to 45 Hz, in the median electrode. In 47
    real recordings of 37 people it was 12 to 156 times, and at least 8 in any 10 s of them. In white noise it is 1 on average,
    and in 1800 trials with 5 s or more it was below 2. Noise with a steeper spectrum passes.
    """
    length = min(signals.shape[1], round(2 * rate))
    frequencies, density = welch(signals, rate, nperseg=length, average="median", detrend="linear")
    low, high = ((frequencies >= a) & (frequencies <= b) for a, b in ((2, 13), (30, min(45, 0.9 * rate / 2))))
    if not low.any() or not high.any():
        raise UnusableError("implausible amplitude, and its sampling rate or length cannot show a spectrum of EEG")
    fall = float(np.median(density[:, low].mean(axis=1) / np.maximum(density[:, high].mean(axis=1), np.finfo(float).tiny)))
    if fall < FALL:
        raise UnusableError(
            f"implausible amplitude, and no spectrum of EEG: the power density at 2 to 13 Hz is {fall:.2g} times that at 30 to "
            f"45 Hz, but should be at least {FALL:g} times; the file may be damaged"
        )


def verdicts(seen: Marks, deviation: np.ndarray, parameters: PreprocessEeg) -> np.ndarray:
    """Verdict on each window, (windows,) uint8.

    0 keeps the window; 1 + an index in `REASONS` drops it for that reason, the first if several apply. `deviation` (windows,
    channels) is the standard deviation of the filtered windows in microvolts.
    """
    found = np.zeros(len(deviation), np.uint8)
    if parameters.noisy_above is not None:
        good = ~seen.constant.any(axis=1) & ~seen.clipped
        usual = np.median(deviation[good], axis=0) if good.any() else np.inf
        found[(deviation > parameters.noisy_above * usual).any(axis=1)] = 1 + REASONS.index("noisy")
    found[seen.clipped] = 1 + REASONS.index("clipped")
    found[seen.constant.any(axis=1) | (deviation <= FLAT_UV).any(axis=1)] = 1 + REASONS.index("flat")
    return found
