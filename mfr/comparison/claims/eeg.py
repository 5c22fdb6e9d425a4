"""Verdicts on the paper's claims about EEG (paper, sections 4.2 and 4.3)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from mfr.comparison.claims.common import Row, claims_table, methods_of_paper
from mfr.comparison.intervals import Interval, student, verdict
from mfr.comparison.summary import percent_change
from mfr.config.training import Method

MEAN_CHANGE, BEST_CHANGE, WORST_CHANGE = -1.8, -6.67, 4.04
DISTANCES = {"l2": "L2", "l2_matched": "L2 of one-to-one pairs"}


def claims(values: pd.DataFrame, distances: pd.DataFrame, methods: Mapping[str, Method]) -> pd.DataFrame:
    """Table of claims, with the columns of `claims_table`.

    `values` is the long table of `mfr.comparison.summary`, `distances` the result of `mfr.comparison.tables.decoder_distances`.
    Claims compare the paper's methods that have a penalty, with or without reinitialisation, to the baseline. Claims about
    one-to-one pairs are ours, not the paper's. Changes of the loss are in percent, negative if it falls.
    """
    rows = [*_of_trend(distances, "baseline", rises=True)]
    for name, method in methods_of_paper(methods).items():
        if method.penalty:
            rows += [*_of_loss(values, name), *_of_distance(distances, name), *_of_trend(distances, name, rises=False)]
    return claims_table(rows)


def _of_loss(values: pd.DataFrame, name: str) -> Iterator[Row]:
    losses = values[values["metric"] == "mse"].pivot(index=["seed", "group"], columns="method", values="value")
    changes = percent_change(losses[name], losses["baseline"]).groupby("seed")
    mean, best, worst = (student(found.tolist()) for found in (changes.mean(), changes.min(), changes.max()))
    yield f"{name}: lower loss than baseline, mean over k", f"{MEAN_CHANGE} %", mean, verdict(mean, most=0)
    claim = f"{name}: at its best k the loss falls by {-BEST_CHANGE} % or more"
    yield claim, f"{BEST_CHANGE} %", best, verdict(best, most=BEST_CHANGE)
    claim = f"{name}: at its worst k the loss rises by less than {WORST_CHANGE} %"
    yield claim, f"+{WORST_CHANGE} %", worst, verdict(worst, most=WORST_CHANGE)


def _of_distance(distances: pd.DataFrame, name: str) -> Iterator[Row]:
    for column, label in DISTANCES.items():
        if len(distances):
            by_seed = distances.pivot_table(index="seed", columns="method", values=column)
            further = student((by_seed[name] - by_seed["baseline"]).tolist())
            claim = f"{name}: decoders further from the smallest k's than baseline's ({label})"
            yield claim, _paper("further", column), further, verdict(further, least=0)


def _of_trend(distances: pd.DataFrame, name: str, rises: bool) -> Iterator[Row]:
    here = distances[distances["method"] == name]
    if here["k"].nunique() < 2:
        return
    for column, label in DISTANCES.items():
        slope = _slope(here, column)
        holds = verdict(slope, least=0) if rises else verdict(slope, most=0)
        word = "rises" if rises else "falls"
        yield f"{name}: distance {word} with k ({label}, slope)", _paper(word, column), slope, holds


def _paper(word: str, column: str) -> str:
    """What the paper says of a distance: a dash unless it measures that distance."""
    return word if column == "l2" else "–"


def _slope(distances: pd.DataFrame, column: str) -> Interval:
    """Slope of a distance over k: a straight line is fitted for each seed."""
    return student([float(np.polyfit(own["k"], own[column], 1)[0]) for _, own in distances.groupby("seed")])
