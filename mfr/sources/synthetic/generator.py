"""Vectors with known features, superposed and correlated in groups (paper, section 3.1).

Features f_1 … f_G in ℝᵈ are standard normal. They are split into E groups, as equal as G allows. In each active group K
features are drawn without replacement with probabilities proportional to λʲ. Each gets a coefficient from U(0, 1); the
vector is the sum of coefficient times feature.

A vector's code depends only on the stream's seed and the vector's number, so any part of a stream can be drawn by itself.
"""

import math

import numpy as np
from numba import njit

from mfr.compute.seeds import numpy_stream
from mfr.compute.threads import even_bounds, side_by_side
from mfr.config.synthetic import GenerateSynthetic

# After this many draws in a row of features already taken, draw directly from the remaining ones.
TRIES = 20


def true_features(settings: GenerateSynthetic) -> np.ndarray:
    """The true features f_1 … f_G as rows (G, d), float32."""
    random = numpy_stream("features", settings.seed)
    return random.standard_normal((settings.features, settings.dimension), dtype=np.float32)


def groups(settings: GenerateSynthetic) -> list[np.ndarray]:
    """Indices of the features in each group.

    If E does not divide G, the first groups have one feature more.
    """
    return np.array_split(np.arange(settings.features), settings.groups)


def active_features(settings: GenerateSynthetic) -> int:
    """Number a of active features per vector."""
    return settings.active_per_group * (settings.groups if settings.every_group else 1)


def codes(settings: GenerateSynthetic, stream: int, first: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of `rows` vectors of a stream, from vector number `first` on.

    Returns active features (rows, a) uint16 and coefficients (rows, a) float32. `stream` is the stream's seed.
    """
    starts = np.array([group[0] for group in groups(settings)] + [settings.features])
    active = np.empty((rows, active_features(settings)), np.uint16)
    coefficients = np.empty(active.shape, np.float32)
    drawn = (np.uint64(stream), first, starts, settings.decay, settings.active_per_group, settings.every_group)
    side_by_side(_draw, even_bounds(rows), *drawn, active, coefficients)
    return active, coefficients


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _draw(
    begin: int,
    end: int,
    stream: np.uint64,
    first: int,
    starts: np.ndarray,
    decay: float,
    count: int,
    every_group: bool,
    active: np.ndarray,
    coefficients: np.ndarray,
) -> None:
    """Fill rows `begin` to `end` of `active` and `coefficients`.

    Group c has the features starts[c] to starts[c + 1] (excluded).
    """
    groups = len(starts) - 1
    # Share of the infinite geometric distribution within each group, and its inverse rate.
    within = 1 - decay ** np.diff(starts).astype(np.float64)
    rate = 1 / math.log(decay) if decay < 1 else 0.0
    for r in range(begin, end):
        state = _mixed(stream ^ _mixed(np.uint64(first + r)))
        for c in range(groups if every_group else 1):
            group = c
            if not every_group:
                state, uniform = _uniform(state)
                group = int(uniform * groups)
            size = starts[group + 1] - starts[group]
            drawn = active[r, c * count : (c + 1) * count]
            at = tries = 0
            while at < count:
                state, uniform = _uniform(state)
                if tries < TRIES:
                    place = math.log1p(-uniform * within[group]) * rate if decay < 1 else uniform * size
                    feature = starts[group] + min(int(place), size - 1)
                else:
                    feature = _left(uniform, starts[group], size, decay, drawn[:at])
                # Rejecting features already drawn samples from the remaining ones.
                fresh = True
                for earlier in range(at):
                    fresh = fresh and drawn[earlier] != feature
                tries += 1
                if fresh:
                    drawn[at] = feature
                    at, tries = at + 1, 0
        for at in range(active.shape[1]):
            state, uniform = _uniform(state)
            coefficients[r, at] = uniform


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _left(uniform: float, start: int, size: int, decay: float, drawn: np.ndarray) -> int:
    """A feature of a group that is not in `drawn`, with probability proportional to its weight."""
    weights = decay ** np.arange(size).astype(np.float64)
    for feature in drawn:
        weights[feature - start] = 0
    sums = weights.cumsum()
    chosen: int = start + min(np.searchsorted(sums, uniform * sums[-1], side="right"), size - 1)
    return chosen


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _uniform(state: np.uint64) -> tuple[np.uint64, np.float64]:
    """Next state and number in [0, 1) of SplitMix64 (Steele, Lea and Flood, 2014)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    return state, np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _mixed(z: np.uint64) -> np.uint64:
    """SplitMix64's output function."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
