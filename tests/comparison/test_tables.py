import math

import pandas as pd
import pytest

from mfr.comparison.summary import summarise
from mfr.comparison.tables import by_k

VERSUS = {"other": "mfr"}


def long(losses: dict[str, dict[int, list[float]]]) -> pd.DataFrame:
    """A long table with the losses of method, k and seed."""
    rows = [
        (method, seed, f"k{k}", "mse", value)
        for method, by_size in losses.items()
        for k, seeds in by_size.items()
        for seed, value in enumerate(seeds)
    ]
    rows += [(method, seed, "ensemble", "mse", 99.0) for method in losses for seed in range(2)]
    return pd.DataFrame(rows, columns=["method", "seed", "group", "metric", "value"])


def test_a_row_says_what_a_method_changes_of_its_versus() -> None:
    losses = {"baseline": {12: [4, 2], 6: [10, 20]}, "mfr": {12: [5, 2], 6: [9, 16]}, "other": {12: [4, 1], 6: [9, 8]}}
    table = by_k(summarise(long(losses), VERSUS), "mse")
    assert table["k"].tolist() == ["6"] * 3 + ["12"] * 3 + ["mean"] * 3
    rows = table.set_index(["k", "method"])
    assert rows.loc[("6", "mfr"), ["mean", "change_percent", "n"]].tolist() == pytest.approx([12.5, -15, 2])
    assert rows.loc[("6", "mfr"), "sd"] == pytest.approx(math.sqrt(2) * 3.5)
    assert rows.loc[("12", "other"), "change_percent"] == pytest.approx((-20 - 50) / 2)
    assert rows.loc[("mean", "mfr"), "change_percent"] == pytest.approx(((-10 + 25) / 2 + (-20 + 0) / 2) / 2)
    # Student's t of one degree of freedom: 12.706 standard errors, which here are half the difference, 10.
    assert rows.loc[("6", "mfr"), ["low", "high"]].tolist() == pytest.approx([-15 - 63.53, -15 + 63.53], abs=0.01)
    assert rows.xs("baseline", level="method")[["change_percent", "low", "high"]].isna().all(axis=None)


def test_n_counts_the_seeds_that_both_methods_have() -> None:
    table = by_k(summarise(long({"baseline": {6: [10]}, "mfr": {6: [9, 16]}}), {}), "mse").set_index("method")
    assert (table.loc["baseline", "n"], table.loc["mfr", "n"]) == (1, 1)
    assert table.loc["mfr", ["mean", "change_percent"]].tolist() == pytest.approx([12.5, -10])
    own = by_k(summarise(long({"baseline": {6: [10, 8]}, "mfr": {6: [9, 16]}}), {"mfr": "mfr"}), "mse").set_index("method")
    assert own.loc["mfr", "n"] == 2 and own.loc["mfr", ["change_percent", "low", "high"]].isna().all()
    alone = by_k(summarise(long({"baseline": {6: [10, 8]}, "mfr": {12: [9, 16]}}), {}), "mse").set_index(["k", "method"])
    assert alone.loc[("12", "mfr"), "n"] == 0 and alone.loc[("12", "mfr"), "mean"] == 12.5
