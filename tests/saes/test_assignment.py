import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize

from mfr.saes import assignment
from mfr.saes.assignment import CANDIDATES, Assignment, _assign, _bid, follow, solve


def dictionaries(h: int, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """Two noisy choices of h of 2 h features: half of them have a likeness on the other side."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2 * h, d, generator=generator)
    A, B = (features[torch.randperm(2 * h, generator=generator)[:h]] for _ in range(2))
    A, B = (normalize(chosen + 0.5 * torch.randn(h, d, generator=generator), dim=1) for chosen in (A, B))
    return A, B, generator


def hubs(h: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clusters of features, tight in A and wide in B: many features of A are nearest to the same few of B."""
    generator = torch.Generator().manual_seed(0)
    centres = normalize(torch.randn(h // 50, d, generator=generator), dim=1)
    chosen = torch.randint(len(centres), (2, h), generator=generator)
    noise = torch.tensor([0.5, 2.0])[:, None, None] * torch.randn(2, h, d, generator=generator) / d**0.5
    A, B = normalize(centres[chosen] + noise, dim=2)
    return A, B


def best(A: torch.Tensor, B: torch.Tensor) -> float:
    """The largest mean cosine of one-to-one partners, by scipy."""
    S = (A @ B.T).double().numpy()
    return float(S[linear_sum_assignment(S, maximize=True)].mean())


def mean_cosine(A: torch.Tensor, B: torch.Tensor, found: Assignment) -> float:
    assert len(set(found.partners.tolist())) == len(A)
    return (A * B[found.partners]).sum(dim=1).mean().item()


@pytest.mark.parametrize("kind", ["likenesses", "hubs", "random", "fewer rows", "one row"])
def test_partners_are_the_best(kind: str) -> None:
    A, B, generator = dictionaries(800, 24)
    if kind == "hubs":
        A, B = hubs(800, 24)
    elif kind == "random":
        A, B = normalize(torch.randn(2, 800, 24, generator=generator), dim=2)
    elif kind == "fewer rows":
        A = A[:300]
    elif kind == "one row":
        A = A[:1]
    (found,) = solve([(A, B)])
    assert mean_cosine(A, B, found) == pytest.approx(best(A, B), abs=1e-6)
    assert found.gap <= 1e-6
    # Most pairs were never listed.
    assert len(A) < 2 or len(found.candidates) < len(A) * len(B) / 4


def test_a_permutation_is_undone() -> None:
    A, _, generator = dictionaries(80, 12)
    order = torch.randperm(80, generator=generator)
    (found,) = solve([(A, A[order])])
    assert torch.equal(A[order][found.partners], A)


@pytest.mark.parametrize("kind", ["likenesses", "hubs"])
def test_the_gap_that_is_allowed_bounds_what_is_lost(kind: str) -> None:
    A, B = hubs(1000, 32) if kind == "hubs" else dictionaries(1000, 32)[:2]
    (found,) = solve([(A, B)], 5e-3)
    assert -1e-6 < best(A, B) - mean_cosine(A, B, found) <= found.gap <= 5e-3


def test_following_stays_near_the_best_while_features_drift() -> None:
    A, B, generator = dictionaries(600, 40)
    (found,), listings = solve([(A, B)], 2e-3), 0
    for _ in range(30):
        A, B = (normalize(own + 0.02 * torch.randn(own.shape, generator=generator), dim=1) for own in (A, B))
        before, (found,) = found, follow([found], [(A, B)], 2e-3)
        listings += found.candidates is not before.candidates
        # The gap of a sample of 300 rows is near that of all.
        assert -1e-6 < best(A, B) - mean_cosine(A, B, found) <= found.gap + 5e-4 <= 2.5e-3
    assert 1 <= listings < 30


@pytest.mark.parametrize("max_gap", [1e-2, 0.0])
def test_features_that_jumped_are_listed_again(max_gap: float) -> None:
    A, B, generator = dictionaries(200, 20)
    other = normalize(torch.randn(B.shape, generator=generator), dim=1)
    (found,) = follow(solve([(A, B)]), [(A, other)], max_gap)
    assert -1e-6 < best(A, other) - mean_cosine(A, other, found) <= max_gap + 1e-6


def test_pairs_are_solved_as_they_are_alone() -> None:
    A, B, generator = dictionaries(150, 20)
    pairs = [(A, B), (B, A), (A, normalize(torch.randn(150, 20, generator=generator), dim=1))]
    for together, pair in zip(solve(pairs, 1e-3), pairs, strict=True):
        assert torch.equal(together.partners, solve([pair], 1e-3)[0].partners)


def test_cosines_of_very_different_size_are_assigned_too() -> None:
    generator = torch.Generator().manual_seed(0)
    A, B = (normalize(torch.eye(32, 64) + 1e-4 * torch.randn(32, 64, generator=generator).relu() ** 4, dim=1) for _ in range(2))
    B = B[torch.randperm(32, generator=generator)]
    assert mean_cosine(A, B, solve([(A, B)])[0]) == pytest.approx(best(A, B), abs=1e-6)


def test_lists_of_any_cosines_are_solved_like_scipy_does() -> None:
    random = np.random.default_rng(0)
    for round_ in range(1000):
        S = 10 ** random.uniform(-10, 0, (12, 12)).astype(np.float32)
        listed = (random.random((12, 12)) < 0.4) | np.eye(12, dtype=bool)
        rows, columns = np.nonzero(listed)
        given = np.searchsorted(rows, np.arange(13)), columns, S[rows, columns].astype(np.float64)
        partners, price = np.arange(12), np.zeros(12)
        _, expected = linear_sum_assignment(np.where(listed, S, -100), maximize=True)
        if round_ % 2:
            _bid(*given, partners, price, 0.01)
            assert S[np.arange(12), partners].sum() >= S[np.arange(12), expected].sum() - 12 * 0.01
        _assign(*given, partners, price)
        assert S[np.arange(12), partners].sum() == pytest.approx(S[np.arange(12), expected].sum(), rel=1e-6)
        assert sorted(partners) == list(range(12)) and listed[np.arange(12), partners].all()


def test_a_list_is_short() -> None:
    A, B = hubs(2000, 32)
    (found,) = solve([(A, B)], 5e-3)
    assert len(found.candidates) <= 2000 * (1 + 4 * CANDIDATES)


def test_nan_is_refused() -> None:
    A, B, _ = dictionaries(60, 12)
    found = solve([(A, B)])
    A[3, 2] = torch.nan
    for search in (lambda: solve([(A, B)]), lambda: follow(found, [(A, B)], 1e-3)):
        with pytest.raises(ValueError, match="NaN"):
            search()


def test_prices_do_not_rise_from_one_matching_to_the_next() -> None:
    A, B, generator = dictionaries(100, 12)
    found = solve([(A, B)], 1e-3)
    for _ in range(20):
        A, B = (normalize(own + 0.05 * torch.randn(own.shape, generator=generator), dim=1) for own in (A, B))
        found = follow(found, [(A, B)], 1e-3)
    assert found[0].price.min() == 0 and found[0].price.max() < 1


def test_a_gap_that_is_only_rounding_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B, _ = dictionaries(200, 12)
    monkeypatch.setattr(assignment, "EXACT", -1.0)
    (found,) = solve([(A, B)])
    assert mean_cosine(A, B, found) == pytest.approx(best(A, B), abs=1e-6) and 0 <= found.gap < 1e-6
