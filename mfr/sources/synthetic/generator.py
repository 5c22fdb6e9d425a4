"""Vectors with known features, in superposition and correlated within groups (paper, section 3.1).

Features f_1 … f_G in ℝᵈ are standard normal. They are split into E groups, as equal as G allows. In each active group K
features are drawn without replacement with probabilities proportional to λʲ, each with a coefficient from U(0, 1); the
vector is the sum of coefficient times feature.

A vector's code depends on the stream's seed and the vector's number alone: any part of a stream can be drawn by itself.
"""

import math

import numpy as np
from numba import njit

from mfr.compute.seeds import numpy_stream
from mfr.compute.threads import even_bounds, side_by_side
from mfr.config.synthetic import GenerateSynthetic

# After so many features that were drawn already, one of those that are left is drawn at once.
TRIES = 20


def true_features(settings: GenerateSynthetic) -> np.ndarray:
    """The features (G, d), float32: F transposed."""
    random = numpy_stream("features", settings.seed)
    return random.standard_normal((settings.features, settings.dimension), dtype=np.float32)


def groups(settings: GenerateSynthetic) -> list[np.ndarray]:
    """The features' indices, group by group; where E does not divide G the first groups hold one more."""
    return np.array_split(np.arange(settings.features), settings.groups)


def active_features(settings: GenerateSynthetic) -> int:
    """How many features are active in a vector."""
    return settings.active_per_group * (settings.groups if settings.every_group else 1)


def codes(settings: GenerateSynthetic, stream: int, first: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Active features (rows, a) uint16 and coefficients (rows, a) float32 of vectors number `first` to `first` + rows."""
    starts = np.array([group[0] for group in groups(settings)] + [settings.features])
    active = np.empty((rows, active_features(settings)), np.uint16)
    coefficients = np.empty(active.shape, np.float32)
    drawn = (np.uint64(stream), first, starts, settings.decay, settings.active_per_group, settings.every_group)
    side_by_side(_draw, even_bounds(rows), *drawn, active, coefficients)
    return active, coefficients


@njit(cache=True, nogil=True)
def _draw(begin, end, stream, first, starts, decay, count, every_group, active, coefficients):
    groups = len(starts) - 1
    # The share of the infinite geometric distribution that lies within a group, and its rate.
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
                # Drawing again what is already there is drawing from what is left.
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


@njit(cache=True)
def _left(uniform, start, size, decay, drawn):
    """A feature of a group that is not drawn yet, with a probability proportional to its weight."""
    weights = decay ** np.arange(size).astype(np.float64)
    for feature in drawn:
        weights[feature - start] = 0
    sums = weights.cumsum()
    return start + min(np.searchsorted(sums, uniform * sums[-1], side="right"), size - 1)


@njit(cache=True)
def _uniform(state):
    """The next state and number in [0, 1) of SplitMix64 (Steele, Lea and Flood, 2014)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    return state, np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
def _mixed(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
