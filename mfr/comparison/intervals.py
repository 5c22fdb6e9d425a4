"""Means over seeds with 95 % intervals, and the verdicts that follow from them.

Two values that happen to be equal carry no information about their spread. Their interval has no width and gives no verdict.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95

Verdict = Literal["holds", "fails", "undecided"]
Outcome = Literal["better", "worse", "undecided"]


class Interval(NamedTuple):
    """A value, its 95 % interval (NaN if there is none), and the number n of values behind it."""

    value: float
    low: float
    high: float
    n: int

    @property
    def decides(self) -> bool:
        """Whether there is an interval that can give a verdict; that of two values equal up to rounding cannot."""
        exists = not math.isnan(self.low)
        return exists and (self.n > 2 or not math.isclose(self.low, self.high, rel_tol=1e-9))


def student(values: Sequence[float]) -> Interval:
    """Mean of independent values with Student's t interval.

    Values that are NaN, such as an undefined correlation, or infinite are ignored. Fewer than two values have no interval.
    """
    values = [value for value in values if math.isfinite(value)]
    n = len(values)
    mean = float(np.mean(values)) if n else np.nan
    if n < 2:
        return Interval(mean, np.nan, np.nan, n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def share(successes: int, n: int) -> Interval:
    """Share of n independent trials that succeeded, with its exact interval.

    Source: Clopper and Pearson, 1934.
    """
    found = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, "exact")
    return Interval(successes / n, found.low, found.high, n)


def over_pairs(values: pd.Series) -> Interval:
    """Mean over ordered pairs of seeds, with the interval of a jackknife over seeds.

    The two levels of the index are the seeds of a pair. A seed is in many pairs, so the pairs are not independent. Student's t
    interval is therefore that of the pseudo-values n·θ − (n − 1)·θ₋ₛ, where θ is the mean over all pairs and θ₋ₛ the mean over
    the pairs without seed s (Tukey, 1958). If every pair contains some seed s, as with two seeds, there is no interval.
    """
    first, second = (values.index.get_level_values(level) for level in (0, 1))
    seeds = first.union(second).unique()
    n, mean = len(seeds), float(values.mean())
    without = [float(values[(first != seed) & (second != seed)].mean()) for seed in seeds]
    found = student([n * mean - (n - 1) * left for left in without])
    return found._replace(value=mean) if found.n == n else Interval(mean, np.nan, np.nan, n)


def verdict(interval: Interval, least: float = -np.inf, most: float = np.inf) -> Verdict:
    """Whether a value is above `least` and below `most`: `holds`, `fails` or `undecided`.

    It holds if the whole interval is between these bounds, and fails if the whole interval is beyond one of them.
    """
    if not interval.decides:
        return "undecided"
    if interval.low > least and interval.high < most:
        return "holds"
    if interval.high < least or interval.low > most:
        return "fails"
    return "undecided"


def contest(difference: Interval, lower_is_better: bool = False) -> Outcome:
    """Whether a difference from a rival makes a method `better`, `worse` or `undecided`.

    It is better or worse only if the whole interval is on one side of 0.
    """
    if not difference.decides:
        return "undecided"
    if difference.low > 0:
        return "worse" if lower_is_better else "better"
    if difference.high < 0:
        return "better" if lower_is_better else "worse"
    return "undecided"
