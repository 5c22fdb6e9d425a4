from itertools import permutations

import numpy as np
import pytest

from mfr.compute.seeds import stream_seed
from mfr.compute.sparse import combine
from mfr.config.synthetic import GenerateSynthetic
from mfr.sources.synthetic.generator import codes, groups, true_features


def settings(**changes: object) -> GenerateSynthetic:
    values = {"reading": "every_group_k3", "features": 60, "groups": 7, "dimension": 16, "decay": 0.9} | changes
    return GenerateSynthetic(train_rows=1000, heldout_rows=100, **values)


def draw(chosen: GenerateSynthetic, rows: int, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    return codes(chosen, stream_seed(f"vectors {split}", chosen.seed), 0, rows)


def inclusion(weights: np.ndarray, count: int) -> np.ndarray:
    """Probability of each pair, and on the diagonal of each item, to be among `count` successive draws without replacement.

    By summing over all orders.
    """
    probability = np.zeros((len(weights), len(weights)))
    for order in permutations(range(len(weights)), count):
        left, p = weights.sum(), 1.0
        for item in order:
            p *= weights[item] / left
            left -= weights[item]
        probability[np.ix_(order, order)] += p
    return probability


def test_features_are_standard_normal() -> None:
    features = true_features(settings(features=400, dimension=100))
    assert features.shape == (400, 100)
    assert abs(features.mean()) < 4 / np.sqrt(40_000) and features.std() == pytest.approx(1, abs=4 / np.sqrt(80_000))


def test_every_feature_belongs_to_one_group_of_nearly_equal_size() -> None:
    members = groups(settings(features=512, groups=12))
    assert sorted(np.concatenate(members).tolist()) == list(range(512))
    assert sorted({len(group) for group in members}) == [42, 43]


@pytest.mark.parametrize("decay", [0.7, 1.0])
def test_frequencies_of_features_and_pairs_in_every_group(decay: float) -> None:
    chosen = settings(features=12, groups=2, decay=decay)
    rows = 60_000
    active, _ = draw(chosen, rows)
    assert active.shape == (rows, 6)
    indicator = np.zeros((rows, 12))
    np.put_along_axis(indicator, active.astype(int), 1, axis=1)
    assert (indicator.sum(axis=1) == 6).all()
    within = inclusion(decay ** np.arange(6), 3)
    # Features of different groups are active independently; within a group they compete.
    across = np.outer(np.diag(within), np.diag(within))
    expected = np.block([[within, across], [across, within]])
    assert np.abs(indicator.T @ indicator / rows - expected).max() < 5 * np.sqrt(0.25 / rows)
    assert within[0, 1] < across[0, 1]


def test_frequencies_of_features_and_pairs_in_one_group() -> None:
    rows = 60_000
    active, _ = draw(settings(reading="one_group_k3", features=12, groups=2, decay=0.8), rows)
    indicator = np.zeros((rows, 12))
    np.put_along_axis(indicator, active.astype(int), 1, axis=1)
    within, nothing = inclusion(0.8 ** np.arange(6), 3) / 2, np.zeros((6, 6))
    expected = np.block([[within, nothing], [nothing, within]])
    assert np.abs(indicator.T @ indicator / rows - expected).max() < 5 * np.sqrt(0.25 / rows)


def raced(size: int, count: int, decay: float, rows: int) -> np.ndarray:
    """Who is among `count` successive draws, as a race: the first to arrive, at exponential times with the weights as rates."""
    times = np.random.default_rng(1).exponential(size=(rows, size)) / decay ** np.arange(size)
    return times <= np.partition(times, count - 1, axis=1)[:, count - 1 : count]


@pytest.mark.parametrize(
    ("reading", "count", "rows"), [("every_group_k3", 3, 20_000), ("one_group_k3", 3, 240_000), ("one_group_k36", 36, 240_000)]
)
def test_frequencies_of_features_and_pairs_at_the_papers_size(reading: str, count: int, rows: int) -> None:
    chosen = settings(reading=reading, features=512, groups=12, decay=0.99)
    active, _ = draw(chosen, rows)
    of_groups = active.reshape(-1, count).astype(int)
    for size, first in ((43, 0), (42, 8 * 43)):  # the groups of one size are alike
        own = of_groups[(of_groups[:, 0] >= first) & (of_groups[:, 0] < first + (8 * 43 if size == 43 else 4 * 42))]
        indicator = np.zeros((len(own), size), np.float32)
        np.put_along_axis(indicator, (own - first) % size, 1, axis=1)
        expected = raced(size, count, 0.99, 200_000).astype(np.float32)
        found, reference = (drawn.T @ drawn / len(drawn) for drawn in (indicator, expected))
        p = (found * len(own) + reference * 200_000) / (len(own) + 200_000)
        z = (found - reference) / np.sqrt(p * (1 - p) * (1 / len(own) + 1 / 200_000))
        assert np.abs(z).max() < 5 and np.abs(z).mean() == pytest.approx(np.sqrt(2 / np.pi), rel=0.25)


@pytest.mark.parametrize(("reading", "count"), [("one_group_k3", 3), ("one_group_k36", 36)])
def test_one_group_readings_draw_from_one_group(reading: str, count: int) -> None:
    chosen = settings(reading=reading, features=400, groups=10)
    active, coefficients = draw(chosen, 3000)
    assert active.shape == coefficients.shape == (3000, count)
    assert (active // 40 == active[:, :1] // 40).all()
    assert all(len(set(row)) == count for row in active[:50].tolist())
    share = np.bincount(active[:, 0] // 40, minlength=10) / 3000
    assert np.abs(share - 0.1).max() < 4.5 * np.sqrt(0.09 / 3000)


def test_coefficients_are_uniform() -> None:
    _, coefficients = draw(settings(), 5000)
    assert coefficients.min() >= 0 and coefficients.max() < 1
    n = coefficients.size
    assert coefficients.mean() == pytest.approx(0.5, abs=4.5 / np.sqrt(12 * n))
    assert (coefficients**2).mean() == pytest.approx(1 / 3, abs=4.5 * np.sqrt(4 / 45 / n))


def test_splits_differ_and_repeat() -> None:
    train, again, heldout = (draw(settings(), 200, split)[1] for split in ("train", "train", "heldout"))
    assert np.array_equal(train, again) and not np.array_equal(train, heldout)


def test_any_part_of_a_stream_can_be_drawn_by_itself() -> None:
    whole, part = codes(settings(), 5, 0, 300), codes(settings(), 5, 120, 50)
    assert all(np.array_equal(ours[120:170], theirs) for ours, theirs in zip(whole, part))
    rows = np.concatenate(whole, axis=1)
    assert len(np.unique(rows, axis=0)) == 300


def test_vectors_are_sums_of_features() -> None:
    chosen = settings()
    features = true_features(chosen)
    active, coefficients = draw(chosen, 40)
    dense = np.zeros((40, 60), np.float32)
    np.put_along_axis(dense, active.astype(int), coefficients, axis=1)
    assert np.allclose(combine(features, active, coefficients), dense @ features, atol=1e-5)


def test_a_steep_decay_is_drawn_too() -> None:
    chosen = settings(features=12, groups=2, decay=0.01)
    active, _ = draw(chosen, 20_000)
    frequency = np.bincount(active.flatten(), minlength=12)[:6] / 20_000
    assert np.abs(frequency - np.diag(inclusion(0.01 ** np.arange(6.0), 3))).max() < 4.5 * np.sqrt(0.25 / 20_000)
    assert draw(settings(reading="one_group_k36", features=400, groups=10, decay=0.5), 200)[0].shape == (200, 36)
