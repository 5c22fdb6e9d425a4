"""Vectors with known features, in superposition and correlated within groups (paper, section 3.1).

Features f_1 … f_G in ℝᵈ are standard normal. They are split into E groups, as equal as G allows. In each active group K
features are drawn without replacement with probabilities proportional to λʲ, each with a coefficient from U(0, 1); the
vector is the sum of coefficient times feature.
"""

from collections.abc import Iterator

import numpy as np

from mfr.params import GenerateSynthetic
from mfr.seeds import numpy_stream

ROWS_A_BLOCK = 20_000


def true_features(settings: GenerateSynthetic) -> np.ndarray:
    """The features (G, d), float32: F transposed."""
    random = numpy_stream("features", settings.seed)
    return random.standard_normal((settings.features, settings.dimension), dtype=np.float32)


def groups(settings: GenerateSynthetic) -> list[np.ndarray]:
    """The features' indices, group by group; where E does not divide G the first groups hold one more."""
    return np.array_split(np.arange(settings.features), settings.groups)


def draw_without_replacement(random: np.random.Generator, log_weights: np.ndarray, rows: int, count: int) -> np.ndarray:
    """Indices (rows, count) drawn one after the other, each from what is left, with weights exp(log_weights).

    The `count` largest of log_weights + Gumbel noise have this distribution.
    """
    noisy = log_weights + random.gumbel(size=(rows, len(log_weights)))
    return np.argpartition(noisy, -count, axis=1)[:, -count:]


def codes(settings: GenerateSynthetic, split: str, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of active features (rows, a) uint16 and their coefficients (rows, a) float32.

    Training and held-out rows come from streams of their own, so that neither depends on the other's number.
    """
    members = groups(settings)
    for block, start in enumerate(range(0, rows, ROWS_A_BLOCK)):
        count = min(ROWS_A_BLOCK, rows - start)
        random = numpy_stream(f"vectors {split}", settings.seed, block)
        if settings.every_group:
            active = np.concatenate([_active(settings, random, group, count) for group in members], axis=1)
        else:
            active = np.empty((count, settings.active_per_group), dtype=np.uint16)
            chosen = random.integers(len(members), size=count)
            for index, group in enumerate(members):
                here = chosen == index
                active[here] = _active(settings, random, group, int(here.sum()))
        yield active, random.random(active.shape, dtype=np.float32)


def _active(settings: GenerateSynthetic, random: np.random.Generator, group: np.ndarray, rows: int) -> np.ndarray:
    log_weights = group * np.log(settings.decay)
    return group[draw_without_replacement(random, log_weights, rows, settings.active_per_group)].astype(np.uint16)
