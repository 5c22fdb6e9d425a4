import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mfr.comparison.claims.eeg import claims
from mfr.comparison.summary import long_table, summarise
from mfr.comparison.tables import decoder_distances, table3
from mfr.config.training import Method, Penalty
from mfr.evaluation.records import Evaluation, PairMetrics, SaeMetrics

METHODS = {"baseline": Method(), "mfr": Method(penalty=Penalty(matching="hungarian")), "late": Method(schedule="linear")}
PAIRS = {(0, 1): 5.0, (0, 2): 7.0, (1, 2): 9.0}


def evaluation(method: str, seed: int, losses: dict[int, float], more: float = 0.0) -> Evaluation:
    """SAEs with k = 8, 4, 12: the second is the smallest."""
    saes = [SaeMetrics(k=k, mse=mse, l2_squared=mse, fvu=mse, l0=k, dead=0, unevenness=0) for k, mse in losses.items()]
    pairs = [
        PairMetrics(first=i, second=j, mmcs_max=0.5, mcc_hungarian=l2 / 10, decoder_l2=l2 + more, decoder_l2_matched=l2 / 2)
        for (i, j), l2 in PAIRS.items()
    ]
    return Evaluation(source="eeg", method=method, seed=seed, rows=10, saes=saes, pairs=pairs)


def runs() -> list[Evaluation]:
    baseline = [evaluation("baseline", seed, {8: 2.0, 4: 3.0, 12: 1.0}, 0.1 * seed) for seed in range(3)]
    shifts = [0.001, -0.001, 0.002]
    mfr = [
        evaluation("mfr", seed, {8: 2 * 0.92 + shift, 4: 3 * 0.95 + shift, 12: 1.02 + shift}, 1 + shift + 0.1 * seed)
        for seed, shift in enumerate(shifts)
    ]
    return [*baseline, *mfr, *(run.model_copy(update={"method": "late"}) for run in baseline)]


def test_table3_has_the_loss_of_each_k_and_the_distance_to_the_smallest() -> None:
    distances = decoder_distances(runs())
    assert set(distances["k"]) == {8, 12}
    table = table3(summarise(long_table(runs()), {}), distances).set_index(["k", "method"])
    assert [k for k, method in table.index if method == "mfr"] == ["4", "8", "12", "mean"]
    mfr = table.loc[("8", "mfr")]
    shifts = np.array([0.001, -0.001, 0.002])
    changes = 100 * ((2 * 0.92 + shifts) / 2 - 1)
    interval = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert mfr[["mse", "change_percent", "low", "high", "n"]].tolist() == pytest.approx(
        [1.84 + shifts.mean(), changes.mean(), interval.low, interval.high, 3]
    )
    # Of the pairs (8, 4) and (4, 12) only; (8, 12) has no part.
    assert mfr["l2"] == pytest.approx(6.1 + shifts.mean()) and mfr["cosine"] == pytest.approx(0.5)
    assert table.loc[("12", "baseline"), ["l2", "l2_matched", "cosine"]].tolist() == pytest.approx([9.1, 4.5, 0.9])
    assert table.loc[("mean", "baseline"), "l2"] == pytest.approx(7.1) and table.loc[
        ("8", "baseline"), "l2_sd"
    ] == pytest.approx(0.1)
    assert table.loc["4", ["l2", "cosine"]].isna().all(axis=None) and np.isnan(table.loc[("8", "baseline"), "change_percent"])


def test_table3_fits_a_terminal() -> None:
    table = table3(summarise(long_table(runs()), {}), decoder_distances(runs()))
    assert max(map(len, table.to_string(index=False, float_format="{:.4g}".format).splitlines())) <= 140


@pytest.mark.parametrize(
    ("claim", "ours", "expected"),
    [
        ("mfr: lower loss than baseline, mean over k", -11 / 3, "holds"),
        ("mfr: at its best k the loss falls by 6.67 % or more", -8, "holds"),
        ("mfr: at its worst k the loss rises by less than 4.04 %", 2, "holds"),
        ("mfr: decoders further from the smallest k's than baseline's (L2)", 1, "holds"),
        ("mfr: decoders further from the smallest k's than baseline's (L2 of one-to-one pairs)", 0, "undecided"),
        ("mfr: distance falls with k (L2, slope)", 1, "fails"),
        ("baseline: distance rises with k (L2, slope)", 1, "holds"),
        ("baseline: distance rises with k (L2 of one-to-one pairs, slope)", 0.5, "holds"),
    ],
)
def test_claims_by_their_intervals(claim: str, ours: float, expected: str) -> None:
    found = claims(long_table(runs()), decoder_distances(runs()), METHODS).set_index("claim")
    assert found.loc[claim, "ours"] == pytest.approx(ours, abs=0.1) and found.loc[claim, "verdict"] == expected
    assert {name.split(":")[0] for name in found.index} == {"baseline", "mfr"}


def test_one_seed_or_one_sae_decides_nothing() -> None:
    one = [run for run in runs() if run.seed == 0]
    assert set(claims(long_table(one), decoder_distances(one), METHODS)["verdict"]) == {"undecided"}
    alone = [run.model_copy(update={"saes": run.saes[:1], "pairs": []}) for run in runs()]
    table = claims(long_table(alone), decoder_distances(alone), METHODS)
    assert len(table) == 3 and isinstance(table, pd.DataFrame)
    assert table3(summarise(long_table(alone), {}), decoder_distances(alone))["l2"].isna().all()
