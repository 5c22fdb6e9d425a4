"""Means over seeds of every metric, and each method's change against another method.

A run's values are first averaged over its SAEs of equal k. Means and standard deviations are then over seeds. A method is
compared with its `versus`, seed by seed: the change is the difference or, for the losses in `RATIOS`, the relative difference
in percent. Its 95 % interval is Student's. If there are several k, the group `all_k` has the means over k of values and of
changes (paper, tables 1 to 3).
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from mfr.comparison.intervals import contest, student
from mfr.evaluation.records import Evaluation
from mfr.runtime.errors import UserError

RATIOS = ("mse", "l2_squared", "fvu", "cross_entropy", "kl")
LOWER_IS_BETTER = (*RATIOS, "dead")
CONTESTED = ("mse", "truth_recovered", "truth_mcc_hungarian", "cross_entropy", "kl", "dead")


def long_table(evaluations: list[Evaluation]) -> pd.DataFrame:
    """One row per value: method, seed, group (`k12`, … or `ensemble`), metric, value.

    Values of SAEs of equal k, or of several pairs of SAEs, are averaged.
    """
    rows = [
        (evaluation.method, evaluation.seed, group, metric, value)
        for evaluation in evaluations
        for group, metric, value in _values(evaluation)
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "group", "metric", "value"])
    return table.groupby(["method", "seed", "group", "metric"], sort=False, as_index=False)["value"].mean()


def _values(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """Group, metric and value of everything that one evaluation recorded."""
    for sae in evaluation.saes:
        values = sae.model_dump(exclude={"k", "truth", "own"})
        if sae.truth is not None:
            values |= {f"truth_{name}": value for name, value in sae.truth.model_dump().items()}
        values |= sae.own
        yield from ((f"k{sae.k}", metric, value) for metric, value in values.items())
    for pair in evaluation.pairs:
        for metric, value in pair.model_dump(exclude={"first", "second"}).items():
            yield "ensemble", metric, value
    if evaluation.correlation is not None:
        for metric, value in evaluation.correlation.model_dump().items():
            yield "ensemble", metric, value


def reference(method: str, versus: Mapping[str, str]) -> str:
    """The method that `method` is compared with: the one in `versus`, or else the baseline."""
    return versus.get(method, "baseline")


def summarise(table: pd.DataFrame, versus: Mapping[str, str]) -> pd.DataFrame:
    """Mean, sd, number of seeds and change of each (method, group, metric) of a long table.

    `versus` names the methods that are compared with another one than the baseline.
    Columns: method, versus, group, metric, mean, sd, seeds, change, change_sd, change_low, change_high and change_unit
    (`percent` or `difference`). With one seed, standard deviations and intervals are NaN.
    """
    against = {method: reference(method, versus) for method in table["method"].unique()}
    paired = _paired(table, table["method"].map(against))
    grouped = pd.concat([paired, _over_all_k(paired)]).groupby(["method", "group", "metric"], sort=False)
    summary = grouped.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        seeds=("value", "count"),
        change=("change", "mean"),
        change_sd=("change", "std"),
        change_low=("change", lambda changes: student(changes).low),
        change_high=("change", lambda changes: student(changes).high),
    ).reset_index()
    summary["change_unit"] = summary["metric"].isin(RATIOS).map({True: "percent", False: "difference"})
    summary.insert(1, "versus", summary["method"].map(against))
    return summary


def contests(table: pd.DataFrame, rivals: list[str]) -> pd.DataFrame:
    """Change of every method against each rival, with a verdict.

    Covers the metrics in `CONTESTED`. Columns: method, versus, group, metric, change, low, high, n and verdict. The verdict is
    `better` or `worse` if the whole 95 % interval is, else `undecided`.
    """
    rows = []
    for rival in rivals:
        paired = _paired(table[table["metric"].isin(CONTESTED)], rival)
        paired = pd.concat([paired, _over_all_k(paired)])
        for (method, group, metric), changes in paired.groupby(["method", "group", "metric"], sort=False)["change"]:
            if method != rival:
                interval = student(changes.tolist())
                rows.append((method, rival, group, metric, *interval, contest(interval, metric in LOWER_IS_BETTER)))
    columns = ["method", "versus", "group", "metric", "change", "low", "high", "n", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _paired(table: pd.DataFrame, versus: str | pd.Series) -> pd.DataFrame:
    """The long table plus versus, its value of the same seed (reference), and the change."""
    reference = table.rename(columns={"value": "reference", "method": "versus"})
    paired = table.assign(versus=versus).merge(reference, on=["versus", "seed", "group", "metric"], how="left")
    difference = paired["value"] - paired["reference"]
    return paired.assign(change=difference.where(~paired["metric"].isin(RATIOS), 100 * difference / paired["reference"]))


def _over_all_k(paired: pd.DataFrame) -> pd.DataFrame:
    """Rows of the group `all_k`, means over k of values and changes; none for a single k."""
    per_k = paired[paired["group"] != "ensemble"]
    if per_k["group"].nunique() < 2:
        return per_k.iloc[:0]
    means = per_k.groupby(["method", "seed", "metric"], sort=False)[["value", "change"]].mean()
    return means.reset_index().assign(group="all_k")


def over_k(summary: pd.DataFrame, metric: str) -> dict[str, float]:
    """Each method's mean of a metric over all k and seeds; `UserError` if no run has it."""
    rows = summary[summary["metric"] == metric].set_index("method")
    if rows.empty:
        raise UserError(f"{metric}: no evaluation of these runs has this metric; run evaluate again")
    group = "all_k" if "all_k" in set(rows["group"]) else rows["group"].iloc[0]
    return {str(method): float(mean) for method, mean in rows.loc[rows["group"] == group, "mean"].items()}


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Learning curves averaged over seeds and SAEs: one row per step and method.

    Columns: step, method, and every measure that has a value somewhere.
    """
    means = curves.drop(columns=["seed", "sae", "k"]).groupby(["step", "method"], sort=False).mean()
    return means.dropna(axis="columns", how="all").reset_index()
