import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mfr.comparison.summary import CONTESTED, contests, long_table, mean_curves, over_k, summarise, unchanged
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


def values(*rows: tuple[str, int, str, float], metric: str = "mse") -> pd.DataFrame:
    """A long table of one metric from (method, seed, group, value)."""
    table = pd.DataFrame(rows, columns=["method", "seed", "group", "value"]).assign(metric=metric)
    return table[["method", "seed", "group", "metric", "value"]]


def test_the_change_over_all_k_is_the_mean_of_the_changes_whatever_the_means_do() -> None:
    # The large loss falls by 1 %, the small one rises by 2 %: the mean loss falls, the mean change is +0.5 %.
    table = values(("baseline", 0, "k4", 10.0), ("baseline", 0, "k8", 1.0), ("mfr", 0, "k4", 9.9), ("mfr", 0, "k8", 1.02))
    summary = summarise(table, {})
    mfr, baseline = (row(summary, name, "all_k", "mse") for name in ("mfr", "baseline"))
    assert mfr["mean"] == pytest.approx(5.46) and baseline["mean"] == pytest.approx(5.5)
    assert mfr["change"] == pytest.approx(0.5)


def test_a_seed_that_only_one_method_has_is_a_value_but_no_pair() -> None:
    table = values(("baseline", 0, "k4", 2.0), ("mfr", 0, "k4", 1.0), ("mfr", 1, "k4", 3.0))
    mfr = row(summarise(table, {}), "mfr", "k4", "mse")
    assert (mfr["mean"], mfr["seeds"], mfr["pairs"], mfr["change"]) == (2.0, 2, 1, -50)
    assert np.isnan(mfr["change_low"]) and np.isnan(mfr["change_sd"])
    (contest,) = contests(table, ["baseline"]).to_dict("records")
    assert (contest["change"], contest["n"], contest["verdict"]) == (-50, 1, "undecided")


def test_a_metric_of_one_method_only_has_no_change_and_no_contest() -> None:
    table = pd.concat([values(("baseline", 0, "k4", 2.0), ("mfr", 0, "k4", 1.0)), values(("mfr", 0, "k4", 0.2), metric="kl")])
    kl = row(summarise(table, {}), "mfr", "k4", "kl")
    assert (kl["mean"], kl["seeds"], kl["pairs"]) == (0.2, 1, 0) and np.isnan(kl["change"])
    assert contests(table, ["baseline"])["metric"].tolist() == ["mse"]


def test_a_run_without_one_of_the_k_has_no_mean_over_k() -> None:
    every = [("baseline", 0, "k4", 10.0), ("baseline", 0, "k8", 1.0), ("mfr", 0, "k4", 9.0), ("mfr", 0, "k8", 0.5)]
    summary = summarise(values(*every, ("baseline", 1, "k4", 10.0), ("mfr", 1, "k4", 5.0), ("mfr", 1, "k8", 0.5)), {})
    baseline, mfr = (row(summary, name, "all_k", "mse") for name in ("baseline", "mfr"))
    assert (baseline["mean"], baseline["seeds"]) == (5.5, 1)
    assert (mfr["mean"], mfr["seeds"], mfr["pairs"]) == (pytest.approx((4.75 + 2.75) / 2), 2, 1)
    assert mfr["change"] == pytest.approx((-10 - 50) / 2)


@pytest.mark.parametrize("reference", [0.0, 1e-12, -1e-9, float("nan")])
def test_a_change_against_a_loss_of_zero_is_undefined(reference: float) -> None:
    table = values(("baseline", 0, "k4", reference), ("mfr", 0, "k4", 1.0), ("baseline", 1, "k4", 2.0), ("mfr", 1, "k4", 1.0))
    mfr = row(summarise(table, {}), "mfr", "k4", "mse")
    assert (mfr["change"], mfr["seeds"], mfr["pairs"]) == (-50, 2, 1)


def test_methods_whose_every_value_is_the_same_are_unchanged() -> None:
    twin = [run.model_copy(update={"method": "twin"}) for run in RUNS[:2]]
    assert unchanged(summarise(long_table([*RUNS, *twin]), {})) == ["twin"]
    # Equal means of unequal seeds are a change.
    crossed = [run.model_copy(update={"method": "crossed", "seed": 1 - run.seed}) for run in RUNS[:2]]
    assert unchanged(summarise(long_table([*RUNS, *crossed]), {})) == []
    lossless = values(("baseline", 0, "k4", 0.0), ("twin", 0, "k4", 0.0), ("other", 0, "k4", 1.0))
    assert unchanged(summarise(lossless, {})) == ["twin"]


def test_a_metric_that_no_run_has_is_nowhere() -> None:
    assert over_k(summarise(long_table(RUNS), {}), "truth_recovered") == {}
