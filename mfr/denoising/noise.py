"""Noise as EEG has it, of known kind and strength, to be added to windows.

A window of noise is a pattern over channels times a waveform, but for white noise, which is independent everywhere:

    white   Gaussian, all channels and frequencies alike
    muscle  a burst of 20–60 Hz over one temple
    line    a sine of the mains, in phase, of uneven strength over channels
    blink   a part of a slow wave of 0.4 s over the forehead
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
    """What a window of noise has to fit."""

    channels: Sequence[str]
    samples: int
    rate_hz: float
    line_hz: float


def draw(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Windows of noise (N, C, T) float64, of no particular strength."""
    if kind == "white":
        return random.normal(size=(count, len(shape.channels), shape.samples))
    return _patterns(kind, count, shape, random)[:, :, None] * _waveforms(kind, count, shape, random)[:, None]


def covariance(kind: Kind, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Second moments (C·T, C·T) of windows scaled to a mean square of 1, as `add` scales them; estimated from examples."""
    size = len(shape.channels) * shape.samples
    if kind == "white":
        return np.eye(size)
    parts = (_patterns(kind, EXAMPLES, shape, random), _waveforms(kind, EXAMPLES, shape, random))
    scaled = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    over_channels, over_time = (part.T @ part / EXAMPLES for part in scaled)
    return size * np.kron(over_channels, over_time)


def add(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`clean` (N, C, T) plus `noise`, scaled so that each window has this ratio of power, over all its channels."""
    ratio = mean_square(clean) / mean_square(noise) * 10 ** (-snr_db / 10)
    return clean + np.sqrt(ratio)[:, None, None] * noise


def mean_square(windows: np.ndarray) -> np.ndarray:
    """Power of each window (N,), over channels and time."""
    return np.square(windows).mean(axis=(1, 2))


def _patterns(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Patterns over channels (N, C)."""
    if kind == "muscle":
        return gains(shape.channels, directions(TEMPLES)[random.integers(2, size=count)], random.uniform(0.2, 0.5, size=count))
    if kind == "blink":
        return gains(shape.channels, directions(FOREHEAD).repeat(count, axis=0), random.uniform(0.3, 0.6, size=count))
    if kind == "pop":
        return np.eye(len(shape.channels))[random.integers(len(shape.channels), size=count)]
    return random.uniform(0.5, 1.5, size=(count, len(shape.channels)))


def _waveforms(kind: Kind, count: int, shape: Shape, random: np.random.Generator) -> np.ndarray:
    """Waveforms (N, T); what happens at a time happens at any of the window's times."""
    times = np.arange(shape.samples) / shape.rate_hz
    centre = random.choice(times, size=(count, 1))
    if kind == "muscle":
        # In a window too coarse for 20 Hz the burst fills the upper half of its band.
        low, high = min(MUSCLE_HZ[0], shape.rate_hz / 4), MUSCLE_HZ[1]
        longer = coloured(random, count, 4 * shape.samples, shape.rate_hz, lambda f: (f >= low) & (f <= high))
        return longer[:, : shape.samples] * _bump(times - centre, random.uniform(*BURST_S, size=(count, 1)))
    if kind == "blink":
        return _bump(times - centre, BLINK_S)
    if kind == "pop":
        after = times - centre
        sign = random.choice([-1.0, 1.0], size=(count, 1))
        return sign * (after >= 0) * np.exp(-after.clip(min=0) / random.uniform(*POP_DECAY_S, size=(count, 1)))
    return np.sin(2 * np.pi * (shape.line_hz * times + random.uniform(size=(count, 1))))


def _bump(times: np.ndarray, length: float | np.ndarray) -> np.ndarray:
    """A raised cosine around 0."""
    return (np.abs(times) < length / 2) * (1 + np.cos(2 * np.pi * times / length)) / 2
