"""All runs of one source side by side: means over seeds with their spread, and each method's paired change.

A run's values are first averaged over its SAEs of equal k; mean and standard deviation are then over seeds. A change is
the mean over seeds of a method minus the one that it is set against, its `versus`, or of their ratio in percent where the
metric is a loss; its 95 % interval is Student's. Where there are several k, the group `all_k` holds the means over k of values
and of changes (paper, tables 1 to 3).
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from mfr.comparison.intervals import contest, student
from mfr.evaluation.records import Evaluation

RATIOS = ("mse", "l2_squared", "fvu", "cross_entropy", "kl")
LOWER_IS_BETTER = (*RATIOS, "dead")
CONTESTED = ("mse", "truth_recovered", "truth_mcc_hungarian", "cross_entropy", "kl", "dead")


def long_table(evaluations: list[Evaluation]) -> pd.DataFrame:
    """One row a value: method, seed, group (`k12`, … or `ensemble`), metric, value."""
    rows = [
        (evaluation.method, evaluation.seed, group, metric, value)
        for evaluation in evaluations
        for group, metric, value in _values(evaluation)
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "group", "metric", "value"])
    return table.groupby(["method", "seed", "group", "metric"], sort=False, as_index=False)["value"].mean()


def _values(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
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
    """The method that one is set against: the one that `versus` names, or else the baseline."""
    return versus.get(method, "baseline")


def summarise(table: pd.DataFrame, versus: Mapping[str, str]) -> pd.DataFrame:
    """Mean, sd and number of seeds of each (method, group, metric) of a long table, and its change.

    `versus` has the methods that are set against another one than the baseline.
    Columns: method, versus, group, metric, mean, sd, seeds, change, change_sd, change_low, change_high and change_unit
    (`percent` or `difference`). With one seed spreads and intervals are NaN.
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
    """Every method against each rival: columns method, versus, group, metric, change, low, high, n and verdict.

    The verdict is `better` or `worse` where the whole 95 % interval is, and else `undecided`.
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
    reference = table.rename(columns={"value": "reference", "method": "versus"})
    paired = table.assign(versus=versus).merge(reference, on=["versus", "seed", "group", "metric"], how="left")
    difference = paired["value"] - paired["reference"]
    return paired.assign(change=difference.where(~paired["metric"].isin(RATIOS), 100 * difference / paired["reference"]))


def _over_all_k(paired: pd.DataFrame) -> pd.DataFrame:
    per_k = paired[paired["group"] != "ensemble"]
    if per_k["group"].nunique() < 2:
        return per_k.iloc[:0]
    means = per_k.groupby(["method", "seed", "metric"], sort=False)[["value", "change"]].mean()
    return means.reset_index().assign(group="all_k")


def over_k(summary: pd.DataFrame, metric: str) -> dict[str, float]:
    """Each method's mean of a metric over all k and seeds."""
    rows = summary[summary["metric"] == metric].set_index("method")
    group = "all_k" if "all_k" in set(rows["group"]) else rows["group"].iloc[0]
    return {str(method): float(mean) for method, mean in rows.loc[rows["group"] == group, "mean"].items()}


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Learning curves (method, seed, step, sae, mse, …) as step, method and what was measured: means over seeds and SAEs."""
    means = curves.drop(columns=["seed", "sae", "k"]).groupby(["step", "method"], sort=False).mean()
    return means.dropna(axis="columns", how="all").reset_index()
