import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mfr.mutual.assignment import _assign, follow, solve
from mfr.saes.similarity import hungarian


def unit(features: torch.Tensor) -> torch.Tensor:
    return features / features.norm(dim=1, keepdim=True)


def dictionaries(h: int, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """Two noisy choices of h of 2 h features: half of them have a likeness on the other side."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2 * h, d, generator=generator)
    A, B = (features[torch.randperm(2 * h, generator=generator)[:h]] for _ in range(2))
    A, B = (unit(chosen + 0.5 * torch.randn(h, d, generator=generator)) for chosen in (A, B))
    return A, B, generator


def best(A: torch.Tensor, B: torch.Tensor) -> float:
    similarity = A @ B.T
    return similarity[hungarian(similarity)].mean().item()


def mean_cosine(A: torch.Tensor, B: torch.Tensor, partners: torch.Tensor) -> float:
    assert sorted(partners.tolist()) == list(range(len(A)))
    return (A * B[partners]).sum(dim=1).mean().item()


def test_solve_is_the_best_assignment_and_a_permutation_is_undone() -> None:
    A, B, generator = dictionaries(80, 12)
    assert mean_cosine(A, B, solve(A, B).partners) == pytest.approx(best(A, B), abs=1e-6)
    order = torch.randperm(80, generator=generator)
    assert torch.equal(A[order][solve(A, A[order]).partners], A)


def test_following_stays_near_the_best_while_features_drift() -> None:
    A, B, generator = dictionaries(600, 40)
    assignment, listings = solve(A, B), 0
    for _ in range(30):
        A = unit(A + 0.02 * torch.randn(A.shape, generator=generator))
        B = unit(B + 0.02 * torch.randn(B.shape, generator=generator))
        before, assignment = assignment, follow(assignment, A, B, 2e-3)
        listings += assignment.candidates is not before.candidates
        # The gap of a sample of 300 rows is near that of all.
        assert -1e-6 < best(A, B) - mean_cosine(A, B, assignment.partners) <= assignment.gap + 5e-4 <= 2.5e-3
    assert 1 <= listings < 30


def test_features_that_jumped_are_listed_again_or_solved() -> None:
    A, B, generator = dictionaries(200, 20)
    other = unit(torch.randn(B.shape, generator=generator))
    for max_gap in (1e-2, 1e-9):
        found = follow(solve(A, B), A, other, max_gap)
        assert -1e-6 < best(A, other) - mean_cosine(A, other, found.partners) <= max_gap + 1e-6


def test_cosines_of_very_different_size_are_assigned_too() -> None:
    generator = torch.Generator().manual_seed(0)
    A, B = (unit(torch.eye(32, 64) + 1e-4 * torch.randn(32, 64, generator=generator).relu() ** 4) for _ in range(2))
    B = B[torch.randperm(32, generator=generator)]
    assert mean_cosine(A, B, solve(A, B).partners) == pytest.approx(best(A, B), abs=1e-6)


def test_lists_of_any_cosines_are_solved_like_scipy_does() -> None:
    random = np.random.default_rng(0)
    for _ in range(1000):
        S = 10 ** random.uniform(-10, 0, (12, 12)).astype(np.float32)
        listed = (random.random((12, 12)) < 0.4) | np.eye(12, dtype=bool)
        rows, columns = np.nonzero(listed)
        starts = np.searchsorted(rows, np.arange(13))
        partners, price = np.arange(12), np.zeros(12)
        _assign(starts, columns, S[rows, columns].astype(np.float64), partners, price)
        _, expected = linear_sum_assignment(np.where(listed, S, -100), maximize=True)
        assert S[np.arange(12), partners].sum() == pytest.approx(S[np.arange(12), expected].sum(), rel=1e-6)
        assert sorted(partners) == list(range(12)) and listed[np.arange(12), partners].all()
