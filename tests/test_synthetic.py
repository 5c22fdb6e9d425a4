from itertools import permutations

import numpy as np
import pytest

from mfr.params import GenerateSynthetic
from mfr.synthetic import codes, draw_without_replacement, groups, true_features


def settings(**changes: object) -> GenerateSynthetic:
    values = {"reading": "every_group_k3", "features": 60, "groups": 7, "dimension": 16, "decay": 0.9} | changes
    return GenerateSynthetic(train_rows=1000, heldout_rows=100, **values)


def draw(chosen: GenerateSynthetic, rows: int, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    blocks = list(codes(chosen, split, rows))
    return np.concatenate([active for active, _ in blocks]), np.concatenate([coefficients for _, coefficients in blocks])


def inclusion(weights: np.ndarray, count: int) -> np.ndarray:
    """Probability of each item to be among `count` successive draws without replacement, by summing over all orders."""
    probability = np.zeros(len(weights))
    for order in permutations(range(len(weights)), count):
        left, p = weights.sum(), 1.0
        for item in order:
            p *= weights[item] / left
            left -= weights[item]
        probability[list(order)] += p
    return probability


def test_features_are_standard_normal() -> None:
    features = true_features(settings(features=400, dimension=100))
    assert features.shape == (400, 100)
    assert abs(features.mean()) < 4 / np.sqrt(40_000) and features.std() == pytest.approx(1, abs=4 / np.sqrt(80_000))


def test_every_feature_belongs_to_one_group_of_nearly_equal_size() -> None:
    members = groups(settings(features=512, groups=12))
    assert sorted(np.concatenate(members).tolist()) == list(range(512))
    assert sorted({len(group) for group in members}) == [42, 43]


def test_draws_follow_the_probabilities_of_successive_sampling() -> None:
    weights = 0.7 ** np.arange(5)
    rows = 100_000
    drawn = draw_without_replacement(np.random.default_rng(0), np.log(weights), rows, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    frequency = np.bincount(drawn.flatten(), minlength=5) / rows
    expected = inclusion(weights, 2)
    assert np.abs(frequency - expected).max() < 4.5 * np.sqrt(0.25 / rows)


def test_frequencies_of_features_and_pairs_in_every_group() -> None:
    chosen = settings(features=12, groups=2, decay=0.7)
    rows = 60_000
    active, _ = draw(chosen, rows)
    assert active.shape == (rows, 6)
    indicator = np.zeros((rows, 12))
    np.put_along_axis(indicator, active.astype(int), 1, axis=1)
    within = inclusion(0.7 ** np.arange(6), 3)
    expected = np.concatenate([within, within])
    assert np.abs(indicator.mean(axis=0) - expected).max() < 4.5 * np.sqrt(0.25 / rows)
    # Features of different groups are active independently; within a group they compete.
    together = indicator.T @ indicator / rows
    assert np.abs(together[:6, 6:] - np.outer(within, within)).max() < 5 * np.sqrt(0.25 / rows)
    assert together[0, 1] < within[0] * within[1]


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


def test_more_rows_begin_with_the_same_whole_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.synthetic.ROWS_A_BLOCK", 100)
    few, many = draw(settings(), 200), draw(settings(), 350)
    assert len(many[0]) == 350 and np.array_equal(few[0], many[0][:200]) and np.array_equal(few[1], many[1][:200])
