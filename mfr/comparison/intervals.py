"""What several seeds tell: means with intervals, and verdicts by them.

Two values that happen to be equal say nothing of their spread: their interval has no width, and decides nothing.
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
    """A value with the bounds of its 95 % interval, NaN where there is none, and the number of values behind it."""

    value: float
    low: float
    high: float
    n: int

    @property
    def decides(self) -> bool:
        """Whether a spread is behind it: two values that are equal but for rounding have none."""
        return self.n > 2 or not math.isclose(self.low, self.high, rel_tol=1e-9)


def student(values: Sequence[float]) -> Interval:
    """The mean of independent values, by Student's t; NaN, as of an r that has no meaning, is left out."""
    values = [value for value in values if not math.isnan(value)]
    n = len(values)
    mean = float(np.mean(values)) if n else np.nan
    if n < 2:
        return Interval(mean, np.nan, np.nan, n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def share(successes: int, n: int) -> Interval:
    """The share of n independent trials that succeeded, with the exact interval (Clopper and Pearson, 1934)."""
    found = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, "exact")
    return Interval(successes / n, found.low, found.high, n)


def over_pairs(values: pd.Series) -> Interval:
    """The mean of values of ordered pairs of seeds, two levels of the index, by the jackknife over seeds (Tukey, 1958).

    A seed is in many pairs, so that these are not independent: Student's t is of n·θ − (n − 1)·θ₋ₛ, θ₋ₛ being the mean over
    the pairs without seed s. Where no pair is left without one, as of two seeds, there is no interval.
    """
    first, second = (values.index.get_level_values(level) for level in (0, 1))
    seeds = first.union(second).unique()
    n, mean = len(seeds), float(values.mean())
    without = [float(values[(first != seed) & (second != seed)].mean()) for seed in seeds]
    found = student([n * mean - (n - 1) * left for left in without])
    return found._replace(value=mean) if found.n == n else Interval(mean, np.nan, np.nan, n)


def verdict(interval: Interval, least: float = -np.inf, most: float = np.inf) -> Verdict:
    """Whether a value lies above `least` and below `most`: it holds or fails where its whole interval does."""
    if not interval.decides:
        return "undecided"
    if interval.low > least and interval.high < most:
        return "holds"
    if interval.high < least or interval.low > most:
        return "fails"
    return "undecided"


def contest(difference: Interval, lower_is_better: bool = False) -> Outcome:
    """Who wins by a difference from a rival: `better` or `worse` where the whole interval lies on one side of 0."""
    if not difference.decides:
        return "undecided"
    if difference.low > 0:
        return "worse" if lower_is_better else "better"
    if difference.high < 0:
        return "better" if lower_is_better else "worse"
    return "undecided"
