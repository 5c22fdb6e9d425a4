import pytest
import torch

from mfr.sae import Ensemble, active_dots, decode, encode, gathered_dots, loss_and_gradients
from tests.dense import dense_loss, dense_reconstruction


def weights(h: int, d: int, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(h, d, generator=generator) * torch.linspace(0.3, 2, h)[:, None] * scale
    return W, torch.randn(h, generator=generator) * 0.3


@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(("h", "d", "k", "B"), [(48, 16, 5, 64), (12, 16, 12, 9), (30, 8, 1, 40), (20, 7, 19, 3)])
def test_gradients_equal_dense_autograd(activation: str, h: int, d: int, k: int, B: int) -> None:
    W, b = weights(h, d)
    x = torch.randn(B, d, generator=torch.Generator().manual_seed(4))
    W_dense, b_dense = W.clone().requires_grad_(), b.clone().requires_grad_()
    expected = dense_loss(x, W_dense, b_dense, k, relu=activation == "topk_relu")
    expected.backward()

    ours = loss_and_gradients(x, W, b, k, activation)

    assert ours.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (ours.W - W_dense.grad).norm() < 1e-5 * W_dense.grad.norm()
    assert (ours.b - b_dense.grad).norm() < 1e-5 * b_dense.grad.norm()


def test_negative_latents_are_kept_by_topk_and_clipped_by_relu() -> None:
    W, b = weights(6, 4)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(5))
    kept, clipped = encode(x, W, b, 6, "topk")[0], encode(x, W, b, 6, "topk_relu")[0]
    assert (kept < 0).any()
    assert (clipped >= 0).all() and torch.equal(clipped, kept.clamp(min=0))


def test_equal_activations_keep_exactly_k() -> None:
    W = torch.ones(8, 4)
    values, indices = encode(torch.ones(3, 4), W, torch.zeros(8), 2, "topk")
    assert values.shape == (3, 2) and all(len(set(row.tolist())) == 2 for row in indices)


def test_ties_give_the_gradient_of_the_chosen_latents() -> None:
    W, b = torch.eye(4)[[0, 1, 2, 2, 3]] * 2, torch.zeros(5)
    ours = loss_and_gradients(torch.tensor([[0.0, 0.1, 3.0, 0.2]] * 6), W, b, 1, "topk")
    chosen = ours.indices.unique().tolist()
    assert len(chosen) == 1 and chosen[0] in (2, 3)
    untouched = [row for row in range(5) if row not in chosen]
    assert (ours.W[chosen] != 0).any() and (ours.W[untouched] == 0).all() and (ours.b[untouched] == 0).all()


def test_features_of_the_decoder_have_unit_length() -> None:
    W, _ = weights(10, 6, scale=5)
    x_hat = decode(torch.ones(10, 1), torch.arange(10)[:, None], W)
    assert torch.allclose(x_hat.norm(dim=1), torch.ones(10))


def test_ensemble_reconstructs_like_the_dense_version() -> None:
    saes = Ensemble.random([3, 7], 20, 8, "topk", seed=1)
    x = torch.randn(11, 8)
    for i, k in enumerate(saes.k):
        assert torch.allclose(saes.reconstruct(i, x), dense_reconstruction(x, saes.W[i], saes.b[i], k, False), atol=1e-5)


def test_first_weights_depend_on_seed_and_sae() -> None:
    first, again, other = (Ensemble.random([3, 3], 20, 8, "topk", seed) for seed in (1, 1, 2))
    assert torch.equal(first.W, again.W)
    assert not torch.equal(first.W, other.W) and not torch.equal(first.W[0], first.W[1])
    assert torch.allclose(first.W.norm(dim=2), torch.ones(2, 20))


@pytest.mark.parametrize("dots", [active_dots, gathered_dots])
def test_active_dots_are_the_entries_of_the_product(dots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.sae.GATHER_ELEMENTS", 50)
    W, _ = weights(9, 5)
    g = torch.randn(13, 5)
    indices = torch.rand(13, 9).argsort(dim=1)[:, :4]
    assert torch.allclose(dots(g, W, indices), (g @ W.T).gather(1, indices), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gradients_on_a_gpu_equal_those_on_the_cpu() -> None:
    W, b = weights(48, 16)
    x = torch.randn(64, 16)
    cpu, gpu = loss_and_gradients(x, W, b, 5, "topk"), loss_and_gradients(x.cuda(), W.cuda(), b.cuda(), 5, "topk")
    assert torch.allclose(cpu.W, gpu.W.cpu(), atol=1e-5) and torch.allclose(cpu.b, gpu.b.cpu(), atol=1e-5)
