import pytest
import torch

from mfr.saes import step as on_any_device
from mfr.saes import step_cpu
from mfr.saes.ensemble import Ensemble, decode, encode, preactivations
from mfr.saes.step import Member
from tests.support.dense import dense_loss, dense_reconstruction

STEPS = [
    pytest.param(on_any_device.loss_and_gradients, id="torch"),
    pytest.param(step_cpu.loss_and_gradients, id="compiled"),
]


def member(W: torch.Tensor, b: torch.Tensor, k: int, activation: str = "topk", precision: str = "float32") -> Member:
    """An SAE whose gradients hold what a step has to overwrite."""
    return Member(W, b, torch.full_like(W, 7), torch.full_like(b, 7), k, activation, precision)


def weights(h: int, d: int, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(h, d, generator=generator) * torch.linspace(0.3, 2, h)[:, None] * scale
    return W, torch.randn(h, generator=generator) * 0.3


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(
    ("h", "d", "k", "B"),
    [(48, 16, 5, 64), (12, 16, 12, 9), (30, 8, 1, 40), (20, 7, 19, 3), (1500, 30, 40, 1200), (64, 8, 4, 3000)],
)
def test_gradients_equal_dense_autograd(step, activation: str, h: int, d: int, k: int, B: int) -> None:
    W, b = weights(h, d)
    x = torch.randn(B, d, generator=torch.Generator().manual_seed(4))
    W_dense, b_dense = W.clone().requires_grad_(), b.clone().requires_grad_()
    expected = dense_loss(x, W_dense, b_dense, k, relu=activation == "topk_relu")
    expected.backward()
    active = (x @ W.T + b).topk(k, dim=1).indices

    sae = member(W, b, k, activation)
    ours = step(sae, x)

    assert ours.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (sae.d_W - W_dense.grad).norm() < 1e-5 * W_dense.grad.norm()
    assert (sae.d_b - b_dense.grad).norm() < 1e-5 * b_dense.grad.norm()
    assert torch.equal(ours.counts.long(), active.flatten().bincount(minlength=h))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(("h", "d", "k", "B"), [(48, 16, 5, 64), (20, 7, 19, 3), (1500, 30, 40, 3000)])
def test_gradients_of_a_noisy_input_with_clean_target_equal_dense_autograd(
    step, activation: str, h: int, d: int, k: int, B: int
) -> None:
    W, b = weights(h, d)
    clean, noise = torch.randn(2, B, d, generator=torch.Generator().manual_seed(4))
    noisy = clean + 0.7 * noise
    W_dense, b_dense = W.clone().requires_grad_(), b.clone().requires_grad_()
    expected = dense_loss(noisy, W_dense, b_dense, k, relu=activation == "topk_relu", target=clean)
    expected.backward()

    sae = member(W, b, k, activation)
    ours = step(sae, noisy, target=clean)

    assert ours.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (sae.d_W - W_dense.grad).norm() < 1e-5 * W_dense.grad.norm()
    assert (sae.d_b - b_dense.grad).norm() < 1e-5 * b_dense.grad.norm()


@pytest.mark.parametrize("step", STEPS)
def test_ties_give_the_gradient_of_the_chosen_latents(step) -> None:
    W, b = torch.eye(4)[[0, 1, 2, 2, 3]] * 2, torch.zeros(5)
    sae = member(W, b, 1)
    ours = step(sae, torch.tensor([[0.0, 0.1, 3.0, 0.2]] * 6))
    chosen = ours.counts.nonzero().flatten().tolist()
    assert len(chosen) == 1 and chosen[0] in (2, 3)
    untouched = [row for row in range(5) if row not in chosen]
    assert (sae.d_W[chosen] != 0).any() and (sae.d_W[untouched] == 0).all() and (sae.d_b[untouched] == 0).all()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("hidden", [40, 1300])
def test_equal_values_keep_exactly_k(step, hidden: int) -> None:
    # Rows of few distinct values: within a row, at the threshold, and all equal.
    W = torch.zeros(hidden, 6)
    W[:, 0], W[: hidden // 2, 1] = 1, 1
    x = torch.cat([torch.eye(6)[[0, 1]], torch.eye(6)[[1]] * -1])
    sae = member(W, torch.zeros(hidden), 9)
    ours = step(sae, x)
    assert ours.counts.sum() == 27 and torch.isfinite(sae.d_W).all()
    second = step(sae, x[1:2]).counts
    assert second[: hidden // 2].sum() == 9


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("hidden", [40, 1300])
def test_a_bad_weight_makes_the_loss_bad(step, bad: float, hidden: int) -> None:
    W, b = weights(hidden, 6)
    b[3] = bad
    loss = step(member(W, b, 4), torch.randn(8, 6)).loss
    assert not torch.isfinite(loss)


@pytest.mark.parametrize("step", STEPS)
def test_bfloat16_rounds_the_product_only(step) -> None:
    W, b = weights(48, 16)
    x = torch.randn(64, 16, generator=torch.Generator().manual_seed(4))
    rounded = preactivations(x, W, b, "bfloat16")
    exact = preactivations(x, W, b)
    assert 1e-4 < (rounded - exact).norm() / exact.norm() < 1e-2
    full, low = (step(member(W, b, 48, precision=precision), x).loss for precision in ("float32", "bfloat16"))
    assert full != low and low.item() == pytest.approx(full.item(), rel=1e-2)


def test_the_number_of_threads_does_not_change_the_compiled_step() -> None:
    W, b = weights(200, 16)
    x = torch.randn(300, 16, generator=torch.Generator().manual_seed(4))
    threads, results = torch.get_num_threads(), []
    pre = preactivations(x, W, b)
    for n in (1, 2, 3):
        sae = member(W, b, 20)
        with pytest.MonkeyPatch.context() as patch:
            # The product itself is the library's.
            patch.setattr(step_cpu, "preactivations", lambda x, W, b, precision, out: pre)
            torch.set_num_threads(n)
            step_cpu.loss_and_gradients(sae, x)
        results.append((sae.d_W, sae.d_b))
    torch.set_num_threads(threads)
    assert all(torch.equal(d_W, results[0][0]) and torch.equal(d_b, results[0][1]) for d_W, d_b in results)


def test_buffers_that_are_used_again_leave_nothing_behind() -> None:
    # Batches of several blocks of rows and of one, with SAEs of different k.
    generator = torch.Generator().manual_seed(4)
    saes = [member(*weights(200, 16), k) for k in (3, 20)]
    steps = step_cpu.Steps(saes)
    for rows in (3000, 3000, 50, 3000):
        x = torch.randn(rows, 16, generator=generator)
        for own, step in zip(saes, steps(x)):
            alone = member(own.W, own.b, own.k)
            expected = step_cpu.loss_and_gradients(alone, x)
            assert torch.equal(own.d_W, alone.d_W) and torch.equal(own.d_b, alone.d_b)
            assert torch.equal(step.g, expected.g) and torch.equal(step.counts, expected.counts) and step.loss == expected.loss


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
