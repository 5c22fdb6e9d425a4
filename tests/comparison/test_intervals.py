from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mfr.comparison.intervals import Interval, contest, over_pairs, share, student, verdict


def test_students_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(3, 2, 7).tolist()
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = student(values)
    assert found.value == pytest.approx(np.mean(values)) and found.n == 7
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_an_undefined_value_is_no_value() -> None:
    assert student([0.5, np.nan, 0.6]) == student(pd.Series([0.5, 0.6, np.nan])) == student([0.5, 0.6])
    assert student([np.nan]).n == 0 and np.isnan(student([np.nan]).value)


def of_pairs(seeds: np.ndarray) -> pd.Series:
    """Of each two seeds the mean of their values, in both orders: its mean is that of the seeds."""
    pairs = pd.MultiIndex.from_tuples(permutations(range(len(seeds)), 2))
    return pd.Series([(seeds[one] + seeds[other]) / 2 for one, other in pairs], pairs)


def test_pairs_of_seeds_have_the_interval_of_the_seeds() -> None:
    seeds = np.random.default_rng(0).normal(3, 2, 6)
    assert over_pairs(of_pairs(seeds)) == pytest.approx(student(seeds.tolist()))


def test_the_interval_of_pairs_misses_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    pairs = pd.MultiIndex.from_tuples(permutations(range(5), 2))
    products = []
    for _ in range(400):
        seeds = random.normal(1, 0.3, 5)
        products.append(over_pairs(pd.Series([seeds[one] * seeds[other] for one, other in pairs], pairs)))
    covered = np.mean([each.low < 1 < each.high for each in products])
    assert 0.91 < covered < 0.985


def test_without_a_seed_that_all_pairs_have_nothing_is_left() -> None:
    pairs = pd.Series([0.8, 0.9, 1.0], pd.MultiIndex.from_tuples([(0, 1), (1, 0), (0, 2)]))
    found = over_pairs(pairs)
    assert found.n == 3 and np.isnan(found.low) and verdict(found, least=0) == "undecided"


def test_one_pair_of_seeds_decides_nothing() -> None:
    found = over_pairs(of_pairs(np.array([0.9, 1.0])))
    assert (found.value, found.n) == (pytest.approx(0.95), 2) and verdict(found, least=0) == "undecided"


def test_one_value_decides_nothing() -> None:
    found = student([2.0])
    assert found.value == 2 and np.isnan(found.low) and np.isnan(found.high)
    assert verdict(found, least=0) == "undecided"


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.1 + 0.2, 0.3], [0.0, 0.0]])
def test_two_equal_values_decide_nothing_and_more_of_them_do(values: list[float]) -> None:
    two, three = student(values), student([*values, values[0]])
    assert verdict(two, least=-1) == verdict(two, least=2) == "undecided"
    assert (verdict(three, least=-1), verdict(three, least=2)) == ("holds", "fails")
    assert contest(student([value + 1 for value in values])) == "undecided"


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 1), (3, 7), (5, 5)])
def test_bounds_of_a_share_leave_a_chance_of_a_fortieth_beyond(successes: int, n: int) -> None:
    found = share(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert successes == 0 or stats.binom.sf(successes - 1, n, found.low) == pytest.approx(0.025)
    assert successes == n or stats.binom.cdf(successes, n, found.high) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "expected"),
    [
        (0.1, 0.5, 0, np.inf, "holds"),
        (-0.1, 0.5, 0, np.inf, "undecided"),
        (-0.5, -0.1, 0, np.inf, "fails"),
        (0.0, 0.0, 0, np.inf, "undecided"),
        (0.6, 0.65, 0.575, 0.675, "holds"),
        (0.5, 0.65, 0.575, 0.675, "undecided"),
        (0.7, 0.8, 0.575, 0.675, "fails"),
        (0.1, 0.2, 0.575, 0.675, "fails"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, least: float, most: float, expected: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high, 5), least, most) == expected


@pytest.mark.parametrize(
    ("low", "high", "higher_wins", "lower_wins"),
    [
        (0.1, 0.5, "better", "worse"),
        (-0.5, -0.1, "worse", "better"),
        (-0.1, 0.5, "undecided", "undecided"),
        (np.nan, np.nan, "undecided", "undecided"),
    ],
)
def test_a_contest_is_won_by_the_whole_interval(low: float, high: float, higher_wins: str, lower_wins: str) -> None:
    difference = Interval((low + high) / 2, low, high, 5)
    assert contest(difference) == higher_wins and contest(difference, lower_is_better=True) == lower_wins


@pytest.mark.parametrize("values", [[], [1.0], [float("nan"), 1.0]])
def test_no_interval_gives_no_verdict(values: list[float]) -> None:
    found = student(values)
    assert not found.decides and verdict(found, least=0) == contest(found) == "undecided" and found.n == (len(values) > 0)
