import numpy as np
import pytest
import torch

from mfr.consistency import Trained, between_seeds, consistency, consistency_tree
from mfr.sae import Ensemble


def trained(method: str, seed: int, *dictionaries: torch.Tensor, k: tuple[int, ...] = (3, 3)) -> Trained:
    W = torch.stack(dictionaries)
    return Trained(method, seed, Ensemble(W, torch.zeros(W.shape[:2]), list(k), "topk"))


EYE = torch.eye(4, 6)
TURNED = 5 * EYE.flip(0)
OTHER = torch.eye(6)[[0, 1, 4, 5]]


def test_within_and_between_compare_different_saes() -> None:
    runs = [trained("baseline", 0, EYE, OTHER), trained("baseline", 1, TURNED, OTHER), trained("mfr", 0, EYE, TURNED)]
    table = consistency(runs).set_index(["method", "kind"])
    assert table.loc[("baseline", "within"), "pw_mcc"] == pytest.approx(0.5)
    assert table.loc[("baseline", "within"), "matched_70"] == pytest.approx(0.5)
    assert table.loc[("baseline", "between"), "pw_mcc"] == pytest.approx(1)
    assert table.loc[("mfr", "within"), "pw_mcc"] == pytest.approx(1)
    assert table["pairs"].to_dict() == {("baseline", "within"): 2, ("baseline", "between"): 2, ("mfr", "within"): 1}
    assert consistency_tree(consistency(runs))["baseline"]["between"]["k3"] == {"pw_mcc": 1.0, "matched_70": 1.0}


def test_only_saes_of_one_k_are_compared_between_seeds() -> None:
    runs = [trained("baseline", seed, EYE, OTHER, k=(3, 4)) for seed in (0, 1)]
    table = consistency(runs)
    assert set(zip(table["kind"], table["k"])) == {("within", 0), ("between", 3), ("between", 4)}


def test_between_is_the_mean_of_the_largest_cosines_over_other_seeds() -> None:
    runs = [trained("baseline", seed, W, OTHER) for seed, W in enumerate((EYE, TURNED, OTHER))]
    table = between_seeds([*runs, trained("mfr", 0, EYE, EYE)]).set_index(["method", "seed", "sae", "latent"])["between"]
    assert table.loc[("baseline", 0, 0)].tolist() == pytest.approx([1, 1, 0.5, 0.5])
    assert table.loc[("baseline", 2, 0)].tolist() == pytest.approx([1, 1, 0, 0])
    assert np.isnan(table.loc[("mfr", 0)]).all()
