"""Which of the paper's claims about language models hold (section 4.1), by intervals over seeds, as `mfr.claims` has them."""

from collections.abc import Iterator, Mapping

import pandas as pd

from mfr.claims import Row, as_the_paper_has, claims_table
from mfr.intervals import student, verdict
from mfr.method import Method

LOSS = {"mean": "-5.66 %", "smallest": "-21.21 %", "largest": "+7.89 %"}
CROSS_ENTROPY = {"mean": "-5.45 %", "best": "-8.58 %", "worst": "-3.51 %"}


def claims_language_model(values: pd.DataFrame, methods: Mapping[str, Method]) -> pd.DataFrame:
    """Columns claim, paper, ours, low, high, n and verdict, from the long table of `mfr.comparison`.

    Changes are of a method's loss against the baseline's, in percent; a verdict is about their sign, whatever their size, which
    depends on the model. Claims are about methods with a penalty, and reinitialisation or not, as the paper has them.
    """
    rows: list[Row] = []
    for name, method in methods.items():
        if method.penalty and as_the_paper_has(method):
            rows += [*_of_loss(values, name), *_of_cross_entropy(values, name)]
    return claims_table(rows)


def _of_loss(values: pd.DataFrame, name: str) -> Iterator[Row]:
    changes = _changes(values, name, "mse")
    for where, change, falls in (
        ("mean over k", changes.mean(axis=1), True),
        (f"smallest k = {changes.columns[0]}", changes.iloc[:, 0], True),
        (f"largest k = {changes.columns[-1]}", changes.iloc[:, -1], False),
    ):
        found = student(change.tolist())
        bounds = {"most": 0.0} if falls else {"least": 0.0}
        claim = f"{name}: reconstruction loss {'lower' if falls else 'higher'} than baseline's, {where}"
        yield claim, LOSS[where.split()[0]], found, verdict(found, **bounds)


def _of_cross_entropy(values: pd.DataFrame, name: str) -> Iterator[Row]:
    changes = _changes(values, name, "cross_entropy")
    for where, paper, change in (
        ("mean over k", CROSS_ENTROPY["mean"], changes.mean(axis=1)),
        ("at its best k", CROSS_ENTROPY["best"], changes.min(axis=1)),
        ("at every k (its worst)", CROSS_ENTROPY["worst"], changes.max(axis=1)),
    ):
        found = student(change.tolist())
        yield f"{name}: cross-entropy with the SAE lower than baseline's, {where}", paper, found, verdict(found, most=0)


def _changes(values: pd.DataFrame, name: str, metric: str) -> pd.DataFrame:
    """Changes in percent, a row a seed and a column each k, rising."""
    here = values[(values["metric"] == metric) & values["group"].str.fullmatch(r"k\d+")]
    table = here.assign(k=here["group"].str.removeprefix("k").astype(int)).pivot(
        index=["method", "seed"], columns="k", values="value"
    )
    return 100 * (table.loc[name] / table.loc["baseline"] - 1)
