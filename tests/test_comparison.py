import numpy as np
import pandas as pd
import pytest

from mfr.comparison import long_table, mean_curves, metrics_tree, summarise
from mfr.metrics import Evaluation, PairMetrics, SaeMetrics


def evaluation(method: str, seed: int, losses: dict[int, float]) -> Evaluation:
    saes = [
        SaeMetrics(k=k, mse=mse, l2_squared=4 * mse, fvu=mse / 2, l0=k, dead=mse / 100, unevenness=0)
        for k, mse in losses.items()
    ]
    pairs = [PairMetrics(first=0, second=1, mmcs_max=0.5 + seed / 10, mcc_hungarian=0.4, decoder_l2=1)]
    return Evaluation(source="eeg", method=method, seed=seed, rows=10, saes=saes, pairs=pairs)


RUNS = [
    evaluation("baseline", 0, {4: 2.0, 8: 1.0}),
    evaluation("baseline", 1, {4: 3.0, 8: 1.0}),
    evaluation("mfr", 0, {4: 1.0, 8: 1.1}),
    evaluation("mfr", 1, {4: 2.4, 8: 1.3}),
]


def row(summary: pd.DataFrame, method: str, group: str, metric: str) -> pd.Series:
    return summary.set_index(["method", "group", "metric"]).loc[(method, group, metric)]


def test_means_spreads_and_paired_changes() -> None:
    summary = summarise(long_table(RUNS))
    mfr = row(summary, "mfr", "k4", "mse")
    assert mfr["mean"] == pytest.approx(1.7) and mfr["seeds"] == 2
    assert mfr["sd"] == pytest.approx(np.std([1.0, 2.4], ddof=1))
    changes = [100 * (1.0 / 2.0 - 1), 100 * (2.4 / 3.0 - 1)]
    assert mfr["change"] == pytest.approx(np.mean(changes)) and mfr["change_sd"] == pytest.approx(np.std(changes, ddof=1))
    dead = row(summary, "mfr", "k4", "dead")
    assert dead["change_unit"] == "difference" and dead["change"] == pytest.approx(np.mean([-0.01, -0.006]))
    assert row(summary, "baseline", "k4", "mse")["change"] == 0
    assert row(summary, "mfr", "ensemble", "mmcs_max")["mean"] == pytest.approx(0.55)


def test_groups_with_several_k_have_a_mean_over_all() -> None:
    summary = summarise(long_table(RUNS))
    assert row(summary, "baseline", "all_k", "mse")["mean"] == pytest.approx((1.5 + 2.0) / 2)
    percents = [[-50, 10], [-20, 30]]  # of k = 4 and k = 8, for each seed
    assert row(summary, "mfr", "all_k", "mse")["change"] == pytest.approx(np.mean(percents))
    assert row(summary, "mfr", "all_k", "mse")["change_sd"] == pytest.approx(np.std(np.mean(percents, axis=1), ddof=1))
    one_k = [evaluation("baseline", 0, {4: 2.0})]
    assert set(summarise(long_table(one_k))["group"]) == {"k4", "ensemble"}


def test_saes_of_equal_k_are_averaged_before_the_seeds() -> None:
    run = evaluation("baseline", 0, {4: 2.0})
    run.saes.append(run.saes[0].model_copy(update={"mse": 4.0}))
    mean = row(summarise(long_table([run])), "baseline", "k4", "mse")
    assert mean["mean"] == 3.0 and mean["seeds"] == 1 and np.isnan(mean["sd"])


def test_metrics_tree_reads_well_and_holds_no_nan() -> None:
    tree = metrics_tree(summarise(long_table(RUNS)))
    assert tree["mfr"]["k4"]["mse"]["mean"] == pytest.approx(1.7)
    assert tree["mfr"]["k4"]["mse"]["change_percent"] == pytest.approx(-35)
    assert "change_percent" not in tree["baseline"]["k4"]["mse"]
    assert set(metrics_tree(summarise(long_table(RUNS[:1])))["baseline"]["k4"]["mse"]) == {"mean"}


def test_mean_curves_average_over_seeds_and_saes() -> None:
    curves = pd.DataFrame(
        [
            (m, s, step, sae, 10.0 * step + s + sae)
            for m in ("baseline", "mfr")
            for s in (0, 1)
            for step in (1, 2)
            for sae in (0, 1)
        ],
        columns=["method", "seed", "step", "sae", "mse"],
    )
    table = mean_curves(curves)
    assert list(table.columns) == ["step", "method", "mse"]
    assert table.query("method == 'mfr'")["mse"].tolist() == [11.0, 21.0]
