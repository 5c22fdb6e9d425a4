import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mfr.training.curves import Likeness, likeness


def turned(feature: torch.Tensor, cosine: float) -> torch.Tensor:
    """A vector with this cosine with the feature."""
    feature = feature / feature.norm()
    aside = torch.eye(len(feature))[0] - feature[0] * feature
    return cosine * feature + (1 - cosine**2) ** 0.5 * aside / aside.norm()


def test_likeness_by_independent_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 5, generator=generator)
    W = torch.randn(3, 8, 5, generator=generator)
    W[1, :6] = 3 * features[:6]
    W[1, 6:] = features[0]
    W[1, 5] = turned(features[5], 0.93)
    found = likeness(W, features)

    def cosines(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
        return torch.cosine_similarity(A[:, None], B[None], dim=2)

    def one_to_one(A: torch.Tensor, B: torch.Tensor) -> float:
        similarity = cosines(A, B).numpy()
        return similarity[linear_sum_assignment(-similarity)].mean()

    assert found[0].across == pytest.approx((one_to_one(W[0], W[1]) + one_to_one(W[0], W[2])) / 2, abs=1e-6)
    assert found[1].truth_mmcs == pytest.approx((7 + 0.93) / 8, abs=1e-6) and found[1].truth_mcc < 0.95
    assert (found[1].recovered_90, found[1].recovered_95) == pytest.approx((6 / 8, 5 / 8)) and found[0].recovered_90 < 0.3
    assert found[2].truth_mcc == pytest.approx(one_to_one(W[2], features), abs=1e-6)


def test_without_others_and_truth_there_is_nothing_to_compare() -> None:
    (alone,) = likeness(torch.randn(1, 4, 3), None)
    assert alone == Likeness()
