"""Tables laid out like the paper's: a metric for each k, and how each method changes it."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mfr.evaluation.records import Evaluation

SHOWN = {
    "mean": "mean",
    "sd": "sd",
    "change": "change_percent",
    "change_sd": "change_sd",
    "change_low": "low",
    "change_high": "high",
    "pairs": "n",
}


def by_k(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per k and method, and one per method with means over all k.

    The layout is that of the paper's tables 1 to 3. `summary` is the result of `mfr.comparison.summary.summarise`, `metric` a
    loss. Columns: k, method, versus; mean and sd over seeds; change_percent against versus, its standard deviation change_sd,
    its 95 % interval (low, high) and the number of seeds n in which both have a loss. The change of a method that is its own
    `versus` is NaN, and its n the number of its seeds. The change in the row of the mean is the mean of the changes above it,
    not the change of the means.
    """
    here = summary[(summary["metric"] == metric) & summary["group"].str.fullmatch(r"k\d+|all_k")]
    table = here.assign(k=here["group"].replace("all_k", "mean").str.removeprefix("k")).rename(columns=SHOWN)
    table.loc[table["method"] == table["versus"], "n"] = here["seeds"]
    table.loc[table["method"] == table["versus"], ["change_percent", "change_sd", "low", "high"]] = float("nan")
    order = table["k"].map(lambda k: float("inf") if k == "mean" else int(k))
    columns = ["k", "method", "versus", *SHOWN.values()]
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True)[columns]


DISTANCES = ("l2", "l2_matched", "cosine")


def decoder_distances(evaluations: list[Evaluation]) -> pd.DataFrame:
    """Distance of each SAE's decoder from the decoder of the SAE with the smallest k.

    If several SAEs have the smallest k, it is the first of them. Columns: method, seed, k, l2, l2_matched and cosine. l2 is the
    Frobenius distance with rows in their order (paper, section 4.3), l2_matched that of one-to-one pairs of rows, and cosine
    the mean cosine of these pairs.
    """
    rows = [row for evaluation in evaluations for row in _distances(evaluation)]
    table = pd.DataFrame(rows, columns=["method", "seed", "k", *DISTANCES])
    return table.groupby(["method", "seed", "k"], sort=False, as_index=False).mean()


def _distances(evaluation: Evaluation) -> Iterator[tuple[str, int, int, float, float, float]]:
    ks = [sae.k for sae in evaluation.saes]
    smallest = ks.index(min(ks))
    for pair in evaluation.pairs:
        if smallest in (pair.first, pair.second):
            other = pair.first + pair.second - smallest
            values = (pair.decoder_l2, pair.decoder_l2_matched, pair.mcc_hungarian)
            yield evaluation.method, evaluation.seed, ks[other], *values


def table3(summary: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """Loss and decoder distances: one row per k and method, and one with means over all k.

    `summary` is the result of `mfr.comparison.summary.summarise`, `distances` that of `decoder_distances`. Columns: those of
    `by_k`, with the mean called mse; and the three distances with their standard deviations, NaN for the smallest k itself
    (paper, table 3).
    """
    loss = by_k(summary, "mse").rename(columns={"mean": "mse"})
    means = distances.groupby(["method", "seed"], sort=False)[list(DISTANCES)].mean().reset_index().assign(k="mean")
    every = pd.concat([distances.astype({"k": str}), means])
    over_seeds = every.groupby(["method", "k"], sort=False)[list(DISTANCES)].agg(["mean", "std"])
    over_seeds.columns = [name if what == "mean" else f"{name}_sd" for name, what in over_seeds.columns]
    return loss.merge(over_seeds.reset_index(), on=["method", "k"], how="left")


def write_table(table: pd.DataFrame, path: Path, digits: int = 6) -> None:
    """Write a table as CSV, with numbers to `digits` significant digits."""
    table.to_csv(path, index=False, float_format=f"%.{digits}g")
