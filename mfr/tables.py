"""Tables that are read side by side with the paper's: a metric for each k, and what each method changes of it."""

import pandas as pd

SHOWN = {
    "mean": "mean",
    "sd": "sd",
    "change": "change_percent",
    "change_sd": "change_sd",
    "change_low": "low",
    "change_high": "high",
    "seeds": "n",
}


def by_k(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a k and method, and one a method with the means over all k (paper, tables 1 to 3).

    `summary` is that of `mfr.comparison`. Columns k, method, versus; mean and sd over seeds of `metric`, a loss; and its change
    in percent of versus's, with sd, 95 % interval (low, high) and number of seeds n. The change of a method that is its own
    `versus` is NaN.
    """
    here = summary[(summary["metric"] == metric) & summary["group"].str.fullmatch(r"k\d+|all_k")]
    table = here.assign(k=here["group"].replace("all_k", "mean").str.removeprefix("k")).rename(columns=SHOWN)
    table.loc[table["method"] == table["versus"], ["change_percent", "change_sd", "low", "high"]] = float("nan")
    order = table["k"].map(lambda k: float("inf") if k == "mean" else int(k))
    columns = ["k", "method", "versus", *SHOWN.values()]
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True)[columns]
