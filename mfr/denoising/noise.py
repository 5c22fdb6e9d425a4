"""Add noise of the kinds found in EEG, at a known strength, to windows.

A window of noise is the product of a pattern over channels and a waveform, except white noise, which is independent
everywhere:

    white   Gaussian, equal power in all channels and at all frequencies
    muscle  a burst of 20–60 Hz over one temple
    line    a sine at the mains frequency, in phase, of different strength in each channel
    blink   a slow wave of 0.4 s over the forehead, or the part of it that is in the window
    pop     a step on one channel that decays

Shapes: N windows, C channels, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mfr.sources.eeg.electrodes import directions, gains
from mfr.sources.eeg.simulation import coloured

Kind = Literal["white", "muscle", "line", "blink", "pop"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MUSCLE_HZ = (20.0, 60.0)
BURST_S = (0.1, 0.5)
BLINK_S = 0.4
POP_DECAY_S = (0.05, 0.5)
TEMPLES, FOREHEAD = ["T7", "T8"], ["FPZ"]
EXAMPLES = 5000


@dataclass(frozen=True)
class Shape:
    """Channels, length and rate of the windows to which noise is added."""

    channels: Sequence[str]
    samples: int
    rate_hz: float
    line_hz: float


def draw(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Windows of noise (N, C, T) float64, not scaled to any strength."""
    if kind == "white":
        return random.normal(size=(count, len(shape.channels), shape.samples))
    drawn: np.ndarray = _patterns(kind, count, shape, random)[:, :, None] * _waveforms(kind, count, shape, random)[:, None]
    return drawn


def covariance(kind: Kind, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Second moments (C·T, C·T) of windows of noise scaled to a mean square of 1.

    They are estimated from `EXAMPLES` random windows, except those of white noise.
    """
    size = len(shape.channels) * shape.samples
    if kind == "white":
        return np.eye(size)
    parts = (_patterns(kind, EXAMPLES, shape, random), _waveforms(kind, EXAMPLES, shape, random))
    scaled = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    over_channels, over_time = (part.T @ part / EXAMPLES for part in scaled)
    return size * np.kron(over_channels, over_time)


def add(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`clean` (N, C, T) plus `noise`, scaled to the signal-to-noise ratio `snr_db`.

    The ratio holds for the power of each window over all its channels.
    """
    ratio = mean_square(clean) / mean_square(noise) * 10 ** (-snr_db / 10)
    noisy: np.ndarray = clean + np.sqrt(ratio)[:, None, None] * noise
    return noisy


def mean_square(windows: np.ndarray) -> np.ndarray:
    """Mean power (N,) of each window, over channels and time."""
    power: np.ndarray = np.square(windows).mean(axis=(1, 2))
    return power


def _patterns(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Random patterns over channels, (N, C)."""
    if kind == "muscle":
        return gains(shape.channels, directions(TEMPLES)[random.integers(2, size=count)], random.uniform(0.2, 0.5, size=count))
    if kind == "blink":
        return gains(shape.channels, directions(FOREHEAD).repeat(count, axis=0), random.uniform(0.3, 0.6, size=count))
    if kind == "pop":
        return np.eye(len(shape.channels))[random.integers(len(shape.channels), size=count)]
    return random.uniform(0.5, 1.5, size=(count, len(shape.channels)))


def _waveforms(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Random waveforms (N, T); an event is centred at a random sample of its window."""
    times = np.arange(shape.samples) / shape.rate_hz
    centre = random.choice(times, size=(count, 1))
    if kind == "muscle":
        # At rates too low for 20 Hz, the burst fills the upper half of the frequencies.
        low, high = min(MUSCLE_HZ[0], shape.rate_hz / 4), MUSCLE_HZ[1]
        longer = coloured(random, count, 4 * shape.samples, shape.rate_hz, lambda f: (f >= low) & (f <= high))
        burst: np.ndarray = longer[:, : shape.samples] * _bump(times - centre, random.uniform(*BURST_S, size=(count, 1)))
        return burst
    if kind == "blink":
        return _bump(times - centre, BLINK_S)
    if kind == "pop":
        after = times - centre
        sign = random.choice([-1.0, 1.0], size=(count, 1))
        step: np.ndarray = sign * (after >= 0) * np.exp(-after.clip(min=0) / random.uniform(*POP_DECAY_S, size=(count, 1)))
        return step
    return np.sin(2 * np.pi * (shape.line_hz * times + random.uniform(size=(count, 1))))


def _bump(times: np.ndarray, length: float | np.ndarray) -> np.ndarray:
    """Raised cosine of `length` around 0."""
    bump: np.ndarray = (np.abs(times) < length / 2) * (1 + np.cos(2 * np.pi * times / length)) / 2
    return bump
