import math

import pytest
import torch

from mfr.mutual import MutualPenalty, activity, alpha, unevenness, warmup
from tests.dense import dense_penalty


@pytest.mark.parametrize("matching", ["hungarian", "max"])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_penalty_and_gradient_equal_dense_autograd(matching: str, n: int) -> None:
    W = torch.randn(n, 12, 5, generator=torch.Generator().manual_seed(1)) * 2
    mutual = MutualPenalty(matching, n)
    mutual.match(W)
    value, gradient = mutual.value_and_gradient(W)
    W_dense = W.clone().requires_grad_()
    expected = dense_penalty(W_dense, list(mutual.partners))
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(gradient, W_dense.grad, atol=1e-7)


def test_penalty_by_maximum_is_one_minus_mmcs() -> None:
    W = torch.randn(2, 12, 5)
    mutual = MutualPenalty("max", 2)
    mutual.match(W)
    largest = torch.cosine_similarity(W[0][:, None], W[1][None], dim=2).amax(dim=1)
    assert mutual.value_and_gradient(W)[0].item() == pytest.approx(1 - largest.mean().item(), abs=1e-6)


def test_partners_are_kept_until_the_next_match() -> None:
    W = torch.randn(2, 12, 5)
    mutual = MutualPenalty("hungarian", 2)
    mutual.match(W)
    before = mutual.partners.clone()
    shuffled = torch.stack([W[0], W[1].flip(0)])
    assert mutual.value_and_gradient(shuffled)[0] > mutual.value_and_gradient(W)[0]
    mutual.match(shuffled)
    assert torch.equal(mutual.partners, 11 - before)


def test_penalty_without_partners_is_refused() -> None:
    with pytest.raises(ValueError, match="match"):
        MutualPenalty("max", 2).value_and_gradient(torch.randn(2, 3, 4))


def test_warmup_is_half_a_cosine() -> None:
    assert warmup(0, 100) == 0 and warmup(100, 100) == 1 and warmup(500, 100) == 1 and warmup(0, 0) == 1
    assert warmup(50, 100) == pytest.approx(0.5)
    assert warmup(25, 100) == pytest.approx(math.sin(math.pi / 8) ** 2)


def test_alpha_balances_the_first_step() -> None:
    assert alpha("balanced", 0.1, loss=4.0, penalty=0.5) * 0.5 == pytest.approx(0.1 * 4.0)
    assert alpha("initial_loss", 2.0, loss=4.0, penalty=0.5) == 8.0
    assert alpha(3.0, 1.0, loss=4.0, penalty=0.5) == 3.0


def test_activity_counts_rows() -> None:
    indices = torch.tensor([[0, 2], [2, 3], [2, 0]])
    assert torch.allclose(activity(indices, 5), torch.tensor([2 / 3, 0, 1, 1 / 3, 0]))


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
