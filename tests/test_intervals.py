import numpy as np
import pytest
from scipy import stats

from mfr.intervals import Interval, bimodality, bootstrap, student, verdict


def test_students_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(3, 2, 7).tolist()
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = student(values)
    assert found.value == pytest.approx(np.mean(values)) and found.n == 7
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_one_value_decides_nothing() -> None:
    for found in (student([2.0]), bootstrap([2.0], np.median)):
        assert found.value == 2 and np.isnan(found.low) and np.isnan(found.high)
        assert verdict(found, least=0) == "undecided"


def test_the_bootstrap_of_a_mean_is_near_its_normal_interval() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    found = bootstrap(values, np.mean)
    reach = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - reach, abs=0.01)
    assert found.high == pytest.approx(values.mean() + reach, abs=0.01)
    assert found == bootstrap(values, np.mean)


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "expected"),
    [
        (0.1, 0.5, 0, np.inf, "holds"),
        (-0.1, 0.5, 0, np.inf, "undecided"),
        (-0.5, -0.1, 0, np.inf, "fails"),
        (0.0, 0.0, 0, np.inf, "fails"),
        (0.6, 0.65, 0.575, 0.675, "holds"),
        (0.5, 0.65, 0.575, 0.675, "undecided"),
        (0.7, 0.8, 0.575, 0.675, "fails"),
        (0.1, 0.2, 0.575, 0.675, "fails"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, least: float, most: float, expected: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high, 5), least, most) == expected


def test_bimodality_tells_two_values_from_one() -> None:
    random = np.random.default_rng(0)
    assert bimodality(np.array([5.0] * 10 + [15.0] * 10)) == pytest.approx(1)
    assert bimodality(random.uniform(size=100_000)) == pytest.approx(5 / 9, abs=0.01)
    assert bimodality(random.normal(size=100_000)) == pytest.approx(1 / 3, abs=0.02)
    assert bimodality(np.zeros(6)) == 0
