import math

import pytest
import torch

from mfr.config.training import Penalty as Settings
from mfr.mutual.dead_latents import idle_steps
from mfr.mutual.matches import links, match
from mfr.mutual.penalty import Penalty, alpha, pull, pull_cpu, warmup
from mfr.saes.assignment import CANDIDATES
from mfr.saes.ensemble import Ensemble, unevenness
from mfr.saes.step import Member
from mfr.saes.step_cpu import Steps
from tests.support.dense import dense_penalty, dense_weights
from tests.support.gpu import CUDA, needs_gpu, without_waiting

PULLS = [pytest.param(pull, id="torch"), pytest.param(pull_cpu, id="compiled")]


def unit_rows(W: torch.Tensor) -> torch.Tensor:
    return W / W.norm(dim=2, keepdim=True)


@pytest.mark.parametrize("pull", PULLS)
@pytest.mark.parametrize("matching", ["hungarian", "max", "max_symmetric", "mutual"])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_penalty_and_gradient_equal_dense_autograd(pull, matching: str, n: int) -> None:
    W = torch.randn(n, 12, 5, generator=torch.Generator().manual_seed(1)) * 2
    gradient = torch.ones_like(W)
    weights = torch.rand(n, 12, generator=torch.Generator().manual_seed(2)).round(decimals=1)
    value = pull(W, links(match(W, matching, 0.0), n, 12), weights, gradient)
    W_dense = W.clone().requires_grad_()
    expected = dense_penalty(W_dense, dense_weights(W, matching))
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    assert (gradient - 1 - weights[..., None] * W_dense.grad).norm() < 1e-5 * W_dense.grad.norm() + 1e-6


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("matching", "latents"), [("hungarian", "all"), ("max", "all"), ("mutual", "live"), ("max", "dead")])
@pytest.mark.parametrize("rows", [40, 3000])  # one block of rows, and several
def test_the_gradient_within_a_step_equals_that_added_after_it(matching: str, latents: str, rows: int, threads: int) -> None:
    settings = Settings(
        matching=matching, alpha="relative", alpha_factor=1.0, warmup=4, refresh=50, latents=latents, dead_after=2
    )
    saes = Ensemble.random([2, 3, 9], 30, 19, "topk", seed=5)
    x = torch.randn(rows, 19, generator=torch.Generator().manual_seed(6))
    x[:, 3:] = 0  # so that some latents are dead
    idle, before = torch.arange(90).view(3, 30) % 4, torch.get_num_threads()
    torch.set_num_threads(threads)
    results = []
    for within in (True, False):
        d_W, d_b = torch.full_like(saes.W, 7), torch.full_like(saes.b, 7)
        penalty = Penalty(settings, saes, d_W)
        assert penalty.attraction(1, idle) is None  # no partners yet
        penalty.find_partners()
        penalty.alpha = 0.7
        assert penalty.attraction(50, idle) is None  # to be matched first
        members = [Member(*own, "topk") for own in zip(saes.W, saes.b, d_W, d_b, saes.k)]
        steps = Steps(members)(x, None, penalty.attraction(1, idle) if within else None)
        losses, counts = torch.stack([own.loss for own in steps]), torch.stack([own.counts for own in steps])
        penalty.add_gradient(1, losses, idle_steps(idle, counts))
        results.append((d_W, d_b, penalty.value))
    torch.set_num_threads(before)
    plain = torch.zeros_like(saes.W)
    Steps([Member(*own, "topk") for own in zip(saes.W, saes.b, plain, d_b, saes.k)])(x)
    assert all(map(torch.equal, *results)) and not torch.equal(d_W, plain)


@needs_gpu
@pytest.mark.parametrize("matching", ["hungarian", "max", "mutual"])
def test_matches_and_penalty_on_a_gpu_equal_those_on_the_cpu_and_the_penalty_waits_for_nothing(matching: str) -> None:
    W = torch.randn(3, 40, 6, generator=torch.Generator().manual_seed(1)) * 2
    weights = torch.rand(3, 40, generator=torch.Generator().manual_seed(2))
    there, weights_there, gradient_there = W.to(CUDA), weights.to(CUDA), torch.ones_like(W, device=CUDA)
    here, found = match(W, matching, 0.0), match(there, matching, 0.0)
    assert all(torch.equal(a.columns, b.columns.cpu()) and torch.equal(a.rows, b.rows.cpu()) for a, b in zip(here, found))
    linked = links(found, 3, 40)
    with without_waiting():
        value = pull(there, linked, weights_there, gradient_there)
    gradient = torch.ones_like(W)
    assert value.item() == pytest.approx(pull(W, links(here, 3, 40), weights, gradient).item(), rel=1e-5)
    assert torch.allclose(gradient_there.cpu(), gradient, atol=1e-5)


@needs_gpu
def test_partners_that_are_followed_on_a_gpu_stay_near_the_best() -> None:
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(3, 60, 8, generator=generator)
    followed = match(W.to(CUDA), "hungarian", 0.002)
    for _ in range(5):
        W = W + 0.3 * torch.randn(W.shape, generator=generator)
        followed, exact = match(W.to(CUDA), "hungarian", 0.002, followed), match(W, "hungarian", 0.0)
        zero = torch.zeros(3, 60)
        penalty = pull(W.to(CUDA), links(followed, 3, 60), zero.to(CUDA), torch.zeros_like(W, device=CUDA)).item()
        best = pull(W, links(exact, 3, 60), zero, torch.zeros_like(W)).item()
        assert best - 1e-5 <= penalty <= best + 0.002 + 1e-5


def test_every_match_is_linked_in_both_directions() -> None:
    W = torch.randn(3, 7, 4)
    matches = match(W, "max", 0.0)
    found = links(matches, 3, 7)
    linked = [
        (feature, int(other))
        for feature in range(21)
        for other in found.partners[found.starts[feature] : found.starts[feature + 1]]
    ]
    one_way = [
        (i * 7 + int(row), j * 7 + int(column))
        for (i, j), pair in zip([(0, 1), (0, 2), (1, 2)], matches)
        for row, column in zip(pair.rows, pair.columns)
    ]
    assert sorted(linked) == sorted(one_way + [(right, left) for left, right in one_way])
    assert found.share == pytest.approx(1 / 21)


def test_stale_is_the_cosine_that_old_partners_had_lost() -> None:
    W = torch.randn(2, 12, 5)
    first = match(W, "hungarian", 0.0)
    swapped = torch.stack([W[0], W[1].flip(0)])
    (second,) = match(swapped, "hungarian", 0.0, first)
    A, B = unit_rows(swapped)
    old = first[0].columns
    lost = ((A * B[11 - old]).sum(1) - (A * B[old]).sum(1)).mean()
    assert torch.equal(second.columns, 11 - old)
    assert first[0].stale == 0 and second.stale == pytest.approx(lost.item(), abs=1e-6)


def test_following_is_near_the_best_partners_and_a_gap_of_zero_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(4, 60, 8, generator=generator)
    followed = match(W, "hungarian", 0.002)
    exact = match(W, "hungarian", 0.0)
    for _ in range(5):
        W = W + torch.randn(W.shape, generator=generator)
        followed, exact = match(W, "hungarian", 0.002, followed), match(W, "hungarian", 0.0, exact)
        penalty, best = (
            pull(W, links(matches, 4, 60), torch.zeros(4, 60), torch.zeros_like(W)).item() for matches in (followed, exact)
        )
        assert best - 1e-6 <= penalty <= best + 0.002 + 1e-6
    assert CANDIDATES < 60 and all(pair.gap <= 1e-6 for pair in exact) and any(pair.gap > 1e-4 for pair in followed)


def test_warmup_is_half_a_cosine() -> None:
    assert warmup(0, 100) == 0 and warmup(100, 100) == 1 and warmup(500, 100) == 1 and warmup(0, 0) == 1
    assert warmup(50, 100) == pytest.approx(0.5)
    assert warmup(25, 100) == pytest.approx(math.sin(math.pi / 8) ** 2)


def test_alpha_balances_the_first_step() -> None:
    assert alpha("balanced", 0.1, loss=4.0, penalty=0.5) * 0.5 == pytest.approx(0.1 * 4.0)
    assert alpha("initial_loss", 2.0, loss=4.0, penalty=0.5) == 8.0
    assert alpha("relative", 0.1, loss=4.0, penalty=0.5) * 4.0 * 0.5 == pytest.approx(0.1 * 4.0)
    assert alpha(3.0, 1.0, loss=4.0, penalty=0.5) == 3.0


@pytest.mark.parametrize("statistic", ["absolute", "cubed"])
def test_unevenness_of_dead_and_always_active_latents(statistic: str) -> None:
    h, k = 512, 36
    even = torch.full((h,), k / h)
    assert unevenness(even, k, statistic) == pytest.approx(0, abs=1e-6)
    dead = even.clone()
    dead[7] = 0
    assert unevenness(dead, k, statistic) == pytest.approx(1 / h, rel=1e-4)
    always = even.clone()
    always[7] = 1
    power = 3 if statistic == "cubed" else 1
    assert unevenness(always, k, statistic) == pytest.approx((h / k - 1) ** power / h, rel=1e-4)
