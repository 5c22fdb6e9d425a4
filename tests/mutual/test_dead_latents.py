import pytest
import torch

from mfr.config.training import Transplant
from mfr.mutual.dead_latents import auxk_gradients, transplants
from tests.support.dense import dense_auxk


def vectors(rows: int, d: int, h: int) -> list[torch.Tensor]:
    """x, its error, W and b."""
    generator = torch.Generator().manual_seed(0)
    x, error = (torch.randn(rows, d, generator=generator) * scale + 1 for scale in (2, 0.3))
    return [x, error, torch.randn(h, d, generator=generator), torch.randn(h, generator=generator)]


@pytest.mark.parametrize("k", [3, 50])
def test_auxk_gradients_equal_dense_autograd(k: int) -> None:
    x, error, W, b = vectors(20, 6, 9)
    found = auxk_gradients(x, error, W, b, k, 0.25)
    W, b = W.double().requires_grad_(), b.double().requires_grad_()
    expected = torch.autograd.grad(dense_auxk(x.double(), error.double(), W, b, k, 0.25), [W, b])
    for gradient, right in zip(found, expected):
        assert torch.allclose(gradient.double(), right, rtol=1e-4, atol=1e-7)


def test_auxk_of_a_noisy_input_is_relative_to_the_clean_one() -> None:
    x, error, W, b = vectors(20, 6, 9)
    plain, noisy = auxk_gradients(x, error, W, b, 3, 0.25), auxk_gradients(x, error, W, b, 3, 0.25, target=x / 3)
    assert all(torch.allclose(gradient, 9 * other) for gradient, other in zip(plain, noisy, strict=True))


def test_auxk_is_the_same_whatever_the_threads_do() -> None:
    x, error, W, b = vectors(1500, 16, 40)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    gradients = [auxk_gradients(x, error, W, b, 36, 1 / 32)[0] for _ in range(10)]
    torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


def test_auxk_of_no_error_is_no_gradient() -> None:
    x, _, W, b = vectors(20, 6, 9)
    assert all((gradient == 0).all() for gradient in auxk_gradients(x, torch.zeros_like(x), W, b, 3, 1 / 32))


def test_dead_latents_take_features_that_no_own_one_is_like() -> None:
    eye = torch.eye(6)
    W = torch.stack([eye[[0, 1, 2, 3]], 7 * eye[[1, 4, 5, 2]] + 0.1 * eye[[0, 0, 0, 0]], eye[[0, 1, 2, 3]]])
    idle = torch.tensor([[0, 9, 5, 6], [0, 0, 9, 0], [0, 0, 0, 0]])
    settings = Transplant(most=2, dead_after=6)
    first, second, third = transplants(W, idle, settings, turn=0)
    # SAE 0 lives on latents 0 and 2; of SAE 1's live ones e1 is the strangest but for a trace of e0, then e4.
    assert (first.sae, first.donor, first.latents.tolist()) == (0, 1, [1, 3])
    assert sorted(first.features.tolist()) == [0, 1]
    assert (second.donor, second.latents.tolist(), second.features.tolist()) == (2, [2], [3])
    assert third.latents.tolist() == third.features.tolist() == []
    assert [plan.donor for plan in transplants(W, idle, settings, turn=1)] == [2, 0, 1]
    assert [len(plan.latents) for plan in transplants(W, idle, Transplant(most=1, dead_after=6), 0)] == [1, 1, 0]
