import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mfr.comparison.summary import CONTESTED, contests, long_table, mean_curves, over_k, summarise
from mfr.evaluation.records import Evaluation, PairMetrics, SaeMetrics, SimilarityCorrelation


def evaluation(method: str, seed: int, losses: dict[int, float]) -> Evaluation:
    saes = [
        SaeMetrics(k=k, mse=mse, l2_squared=4 * mse, fvu=mse / 2, l0=k, dead=mse / 100, unevenness=0)
        for k, mse in losses.items()
    ]
    pairs = [PairMetrics(first=0, second=1, mmcs_max=0.5 + seed / 10, mcc_hungarian=0.4, decoder_l2=1, decoder_l2_matched=1)]
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
    summary = summarise(long_table(RUNS), {})
    mfr = row(summary, "mfr", "k4", "mse")
    assert mfr["mean"] == pytest.approx(1.7) and mfr["seeds"] == 2
    assert mfr["sd"] == pytest.approx(np.std([1.0, 2.4], ddof=1))
    changes = [100 * (1.0 / 2.0 - 1), 100 * (2.4 / 3.0 - 1)]
    assert mfr["change"] == pytest.approx(np.mean(changes)) and mfr["change_sd"] == pytest.approx(np.std(changes, ddof=1))
    dead = row(summary, "mfr", "k4", "dead")
    assert dead["change_unit"] == "difference" and dead["change"] == pytest.approx(np.mean([-0.01, -0.006]))
    assert row(summary, "baseline", "k4", "mse")["change"] == 0
    assert row(summary, "mfr", "ensemble", "mmcs_max")["mean"] == pytest.approx(0.55)


def test_a_change_has_students_interval() -> None:
    mfr = row(summarise(long_table(RUNS), {}), "mfr", "k4", "mse")
    expected = stats.ttest_1samp([-50, -20], 0).confidence_interval(0.95)
    assert (mfr["change_low"], mfr["change_high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_a_method_may_be_set_against_another_than_the_baseline() -> None:
    runs = [*RUNS, *(run.model_copy(update={"method": "more"}) for run in RUNS[2:])]
    summary = summarise(long_table(runs), {"more": "mfr"})
    assert row(summary, "more", "k4", "mse")["change"] == 0 and row(summary, "more", "k4", "mse")["versus"] == "mfr"


def test_contests_call_better_only_what_is_so_by_its_interval() -> None:
    runs = [evaluation("baseline", seed, {4: 2.0 + seed / 10}) for seed in range(4)]
    runs += [evaluation("less", seed, {4: (2.0 + seed / 10) * (0.9 + seed / 1000)}) for seed in range(4)]
    runs += [evaluation("same", seed, {4: (2.0 + seed / 10) * (1 + (-1) ** seed / 100)}) for seed in range(4)]
    table = contests(long_table(runs), ["baseline", "same"]).set_index(["method", "versus", "metric"])["verdict"]
    assert table[("less", "baseline", "mse")] == "better" and table[("same", "baseline", "mse")] == "undecided"
    assert table[("baseline", "same", "mse")] == "undecided" and table[("less", "same", "dead")] == "better"
    assert ("baseline", "baseline", "mse") not in table.index
    alike = [evaluation(method, seed, {4: 2.0}) for seed in range(3) for method in ("baseline", "twin")]
    assert set(contests(long_table(alike), ["baseline"])["verdict"]) == {"undecided"}


def test_an_undefined_value_of_a_seed_is_not_counted() -> None:
    runs = [evaluation("baseline", seed, {4: 2.0}) for seed in range(3)]
    for run, r in zip(runs, (0.5, float("nan"), 0.7), strict=True):
        run.correlation = SimilarityCorrelation(r_max=r, r_hungarian=r)
    r = row(summarise(long_table(runs), {}), "baseline", "ensemble", "r_max")
    assert r["seeds"] == 2 and r["mean"] == pytest.approx(0.6)


@pytest.mark.parametrize("loss", ["mse", "fvu", "cross_entropy", "kl"])
def test_losses_change_in_percent_and_are_better_when_lower(loss: str) -> None:
    values = {"baseline": 4.0, "mfr": 3.0}
    table = pd.DataFrame(
        [(name, seed, "k4", loss, value + seed / 100) for name, value in values.items() for seed in range(3)],
        columns=["method", "seed", "group", "metric", "value"],
    )
    mfr = row(summarise(table, {}), "mfr", "k4", loss)
    assert mfr["change_unit"] == "percent" and mfr["change"] == pytest.approx(-25, abs=0.3)
    if loss in CONTESTED:
        assert contests(table, ["baseline"]).set_index("method").loc["mfr", "verdict"] == "better"


def test_groups_with_several_k_have_a_mean_over_all() -> None:
    summary = summarise(long_table(RUNS), {})
    assert row(summary, "baseline", "all_k", "mse")["mean"] == pytest.approx((1.5 + 2.0) / 2)
    percents = [[-50, 10], [-20, 30]]  # of k = 4 and k = 8, for each seed
    assert row(summary, "mfr", "all_k", "mse")["change"] == pytest.approx(np.mean(percents))
    assert row(summary, "mfr", "all_k", "mse")["change_sd"] == pytest.approx(np.std(np.mean(percents, axis=1), ddof=1))
    one_k = [evaluation("baseline", 0, {4: 2.0})]
    assert set(summarise(long_table(one_k), {})["group"]) == {"k4", "ensemble"}


def test_saes_of_equal_k_are_averaged_before_the_seeds() -> None:
    run = evaluation("baseline", 0, {4: 2.0})
    run.saes.append(run.saes[0].model_copy(update={"mse": 4.0}))
    mean = row(summarise(long_table([run]), {}), "baseline", "k4", "mse")
    assert mean["mean"] == 3.0 and mean["seeds"] == 1 and np.isnan(mean["sd"])


def test_the_mean_over_k_is_over_k_and_seeds_or_of_the_only_k() -> None:
    losses = over_k(summarise(long_table(RUNS), {}), "mse")
    expected = {
        method: np.mean([np.mean([sae.mse for sae in run.saes]) for run in RUNS if run.method == method])
        for method in ("baseline", "mfr")
    }
    assert losses == pytest.approx(expected)
    alone = [evaluation("baseline", seed, {4: 2.0 + seed}) for seed in (0, 1)]
    assert over_k(summarise(long_table(alone), {}), "mse") == {"baseline": 2.5}


def test_mean_curves_average_over_seeds_and_saes() -> None:
    curves = pd.DataFrame(
        [
            (m, s, step, sae, 3, 10.0 * step + s + sae, sae if step == 2 else np.nan, np.nan)
            for m in ("baseline", "mfr")
            for s in (0, 1)
            for step in (1, 2)
            for sae in (0, 1)
        ],
        columns=["method", "seed", "step", "sae", "k", "mse", "across", "truth_mmcs"],
    )
    table = mean_curves(curves)
    assert list(table.columns) == ["step", "method", "mse", "across"]
    assert table.query("method == 'mfr'")["mse"].tolist() == [11.0, 21.0]
    assert table["across"].isna().tolist() == [True, False, True, False] and table["across"].max() == 0.5
