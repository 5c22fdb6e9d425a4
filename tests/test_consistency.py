import numpy as np
import pytest
import torch

from mfr.consistency import between_seeds, consistency, consistency_tree
from mfr.sae import Ensemble


def ensemble(*dictionaries: torch.Tensor, k: tuple[int, ...] = (3, 3)) -> Ensemble:
    W = torch.stack(dictionaries)
    return Ensemble(W, torch.zeros(W.shape[:2]), list(k), "topk", torch.zeros(W.shape[2]))


EYE = torch.eye(4, 6)
TURNED = 5 * EYE.flip(0)
OTHER = torch.eye(6)[[0, 1, 4, 5]]


def test_within_and_between_compare_different_saes() -> None:
    table = consistency([ensemble(EYE, OTHER), ensemble(TURNED, OTHER)])
    found = table.set_index("kind")
    assert found.loc["within", "pw_mcc"] == pytest.approx(0.5) and found.loc["within", "matched_70"] == pytest.approx(0.5)
    assert found.loc["between", "pw_mcc"] == pytest.approx(1) and found["pairs"].tolist() == [2, 2]
    tree = consistency_tree(table.assign(method="baseline"))
    assert tree["baseline"]["between"]["k3"] == {"pw_mcc": 1.0, "matched_70": 1.0}
    assert consistency([ensemble(EYE, TURNED)])["kind"].tolist() == ["within"]


def test_only_saes_of_one_k_are_compared_between_seeds() -> None:
    table = consistency([ensemble(EYE, OTHER, k=(3, 4))] * 2)
    assert set(zip(table["kind"], table["k"])) == {("within", 0), ("between", 3), ("between", 4)}


def test_between_is_the_mean_of_the_largest_cosines_over_other_seeds() -> None:
    ensembles = {seed: ensemble(W, OTHER) for seed, W in enumerate((EYE, TURNED, OTHER))}
    table = between_seeds(ensembles).set_index(["seed", "sae", "latent"])["between"]
    assert table.loc[(0, 0)].tolist() == pytest.approx([1, 1, 0.5, 0.5])
    assert table.loc[(2, 0)].tolist() == pytest.approx([1, 1, 0, 0])
    assert np.isnan(between_seeds({0: ensembles[0]})["between"]).all()
