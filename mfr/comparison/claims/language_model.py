"""Verdicts on the paper's claims about language models (paper, section 4.1)."""

from collections.abc import Iterator, Mapping

import pandas as pd

from mfr.comparison.claims.common import Row, claims_table
from mfr.comparison.intervals import student, verdict
from mfr.comparison.summary import percent_change, reference
from mfr.config.training import Method

LOSS = {"mean": "-5.66 %", "smallest": "-21.21 %", "largest": "+7.89 %"}
CROSS_ENTROPY_MEAN, CROSS_ENTROPY_OF_A_K = "-5.45 %", "-8.58 to -3.51 %"


def claims(values: pd.DataFrame, methods: Mapping[str, Method], versus: Mapping[str, str]) -> pd.DataFrame:
    """Table of claims, with the columns of `claims_table`.

    `values` is the long table of `mfr.comparison.summary`. Changes are those of a method's loss against its `versus`, or else
    the baseline, in percent. A verdict is about their sign only: their size depends on the model. Claims are checked for all
    methods with a penalty, the paper's and others.
    """
    rows: list[Row] = []
    for name, method in methods.items():
        if method.penalty:
            other = reference(name, versus)
            rows += [*_of_loss(values, name, other), *_of_cross_entropy(values, name, other)]
    return claims_table(rows)


def _of_loss(values: pd.DataFrame, name: str, versus: str) -> Iterator[Row]:
    changes = _changes(values, (name, versus), "mse")
    for where, change, falls in (
        ("mean over k", changes.mean(axis=1, skipna=False), True),
        (f"smallest k = {changes.columns[0]}", changes.iloc[:, 0], True),
        (f"largest k = {changes.columns[-1]}", changes.iloc[:, -1], False),
    ):
        found = student(change.tolist())
        bounds = {"most": 0.0} if falls else {"least": 0.0}
        claim = f"{name}: reconstruction loss {'lower' if falls else 'higher'} than {versus}'s, {where}"
        yield claim, LOSS[where.split()[0]], found, verdict(found, **bounds)


def _of_cross_entropy(values: pd.DataFrame, name: str, versus: str) -> Iterator[Row]:
    changes = _changes(values, (name, versus), "cross_entropy")
    of_all = ("mean over k", CROSS_ENTROPY_MEAN, changes.mean(axis=1, skipna=False))
    # Each k by itself: the best or worst of several k would differ from 0 merely because it was selected.
    for where, paper, change in (of_all, *((f"k = {k}", CROSS_ENTROPY_OF_A_K, changes[k]) for k in changes)):
        found = student(change.tolist())
        yield f"{name}: cross-entropy with the SAE lower than {versus}'s, {where}", paper, found, verdict(found, most=0)


def _changes(values: pd.DataFrame, methods: tuple[str, str], metric: str) -> pd.DataFrame:
    """Change of the first method against the second in percent: a table of seed by k."""
    name, versus = methods
    here = values[(values["metric"] == metric) & values["group"].str.fullmatch(r"k\d+")]
    table = here.assign(k=here["group"].str.removeprefix("k").astype(int)).pivot(
        index=["method", "seed"], columns="k", values="value"
    )
    return percent_change(table.loc[name], table.loc[versus])
