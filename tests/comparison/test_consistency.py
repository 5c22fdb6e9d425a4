import numpy as np
import pytest
import torch

from mfr.comparison.consistency import between_seeds, consistency
from mfr.saes.ensemble import Ensemble


def ensemble(*dictionaries: torch.Tensor, k: tuple[int, ...] = (3, 3)) -> Ensemble:
    W = torch.stack(dictionaries)
    return Ensemble(W, torch.zeros(W.shape[:2]), list(k), "topk", torch.zeros(W.shape[2]))


EYE = torch.eye(4, 6)
TURNED = 5 * EYE.flip(0)
OTHER = torch.eye(6)[[0, 1, 4, 5]]
ALL = torch.ones(2, 4, dtype=torch.bool)


def test_within_and_between_compare_different_saes() -> None:
    table = consistency([ensemble(EYE, OTHER), ensemble(TURNED, OTHER)], [ALL, ALL])
    found = table.set_index("kind")
    assert found.loc["within", "pw_mcc"] == pytest.approx(0.5) and found.loc["within", "matched_70"] == pytest.approx(0.5)
    assert found.loc["between", "pw_mcc"] == pytest.approx(1) and found["pairs"].tolist() == [2, 2]
    same = {"pw_mcc": 1.0, "matched_70": 1.0, "pw_mcc_live": 1.0, "matched_70_live": 1.0}
    spreads = {f"{name}_sd": 0.0 for name in same}
    assert dict(found.loc["between", [*same, *spreads]]) == pytest.approx(same | spreads, abs=1e-6)
    assert consistency([ensemble(EYE, TURNED)], [ALL])["kind"].tolist() == ["within"]


def test_features_are_matched_from_a_cosine_of_07_on() -> None:
    nearly = torch.stack([EYE[i] * cosine + EYE[3] * (1 - cosine**2) ** 0.5 for i, cosine in enumerate((0.72, 0.68, 0.5))])
    (found,) = consistency([ensemble(torch.eye(3, 6), nearly)], [torch.ones(2, 3, dtype=torch.bool)]).itertuples()
    assert found.matched_70 == pytest.approx(1 / 3) and found.pw_mcc == pytest.approx((0.72 + 0.68 + 0.5) / 3)


def test_dead_latents_that_agree_do_not_count_among_live_ones() -> None:
    live = torch.tensor([[True, False, True, True], [False, False, True, True]])
    (found,) = consistency([ensemble(EYE, OTHER)], [live]).itertuples()
    # Features 0, 2, 3 against 4 and 5: the two that both have are dead in the second.
    assert (found.pw_mcc, found.pw_mcc_live, found.matched_70_live) == pytest.approx((0.5, 0, 0))
    (none,) = consistency([ensemble(EYE, OTHER)], [~ALL]).itertuples()
    assert np.isnan(none.pw_mcc_live)


def test_spreads_are_over_pairs() -> None:
    (found,) = consistency([ensemble(EYE, OTHER), ensemble(EYE, TURNED)], [ALL, ALL]).query("kind == 'within'").itertuples()
    assert (found.pw_mcc, found.pairs) == (pytest.approx(0.75), 2)
    assert found.pw_mcc_sd == found.matched_70_live_sd == pytest.approx(np.std([0.5, 1], ddof=1))


def test_only_saes_of_one_k_are_compared_between_seeds() -> None:
    table = consistency([ensemble(EYE, OTHER, k=(3, 4))] * 2, [ALL] * 2)
    assert set(zip(table["kind"], table["k"])) == {("within", 0), ("between", 3), ("between", 4)}


def test_between_is_the_largest_cosine_with_each_other_seed() -> None:
    ensembles = {seed: ensemble(W, OTHER) for seed, W in enumerate((EYE, TURNED, OTHER))}
    table = between_seeds(ensembles).set_index(["seed", "other", "sae"])["between"]
    assert table.loc[(0, 1, 0)].tolist() == pytest.approx([1, 1, 1, 1])
    assert table.loc[(0, 2, 0)].tolist() == pytest.approx([1, 1, 0, 0])
    assert table.loc[(2, 1, 0)].tolist() == pytest.approx([1, 1, 0, 0])
    assert table.loc[(2, 1, 1)].tolist() == pytest.approx([1, 1, 1, 1])
    assert between_seeds({0: ensembles[0]}).empty
