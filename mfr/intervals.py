"""What several seeds tell: means with intervals, and verdicts by them."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from mfr.seeds import numpy_stream

CONFIDENCE = 0.95
RESAMPLES = 2000

Verdict = Literal["holds", "fails", "undecided"]


class Interval(NamedTuple):
    """A value with the bounds of its 95 % interval, NaN where there is none, and the number of values behind it."""

    value: float
    low: float
    high: float
    n: int


def student(values: Sequence[float]) -> Interval:
    """The mean of independent values, by Student's t."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, np.nan, np.nan, n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def bootstrap(values: Sequence[float], statistic: Callable[[np.ndarray], float]) -> Interval:
    """Any statistic of independent values, by percentiles over resamples."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return Interval(statistic(array), np.nan, np.nan, len(array))
    drawn = numpy_stream("bootstrap", len(array)).integers(len(array), size=(RESAMPLES, len(array)))
    resampled = [statistic(array[rows]) for rows in drawn]
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(statistic(array), float(low), float(high), len(array))


def verdict(interval: Interval, least: float = -np.inf, most: float = np.inf) -> Verdict:
    """Whether a value lies above `least` and below `most`: it holds or fails where its whole interval does."""
    if interval.low > least and interval.high < most:
        return "holds"
    if interval.high <= least or interval.low >= most:
        return "fails"
    return "undecided"


def bimodality(values: np.ndarray) -> float:
    """Sarle's coefficient: (skewness² + 1) / kurtosis; 5/9 for a uniform distribution, 1 for two values, 0 for one."""
    if np.ptp(values) == 0:
        return 0.0
    return float((stats.skew(values) ** 2 + 1) / stats.kurtosis(values, fisher=False))
