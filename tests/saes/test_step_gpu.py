"""`step_gpu` runs on any device: here its formulas are checked on the CPU, and on a GPU if there is one."""

from collections.abc import Callable

import pytest
import torch

from mfr.saes import step, step_cpu
from mfr.saes.ensemble import Ensemble
from mfr.saes.step import Member, Step
from mfr.saes.step_gpu import PAIRS, EnsembleStep
from tests.support.dense import dense_loss
from tests.support.gpu import CUDA, needs_gpu, without_waiting

# k, h, d and rows: equal k, different k, k of all latents, many pairs per latent (rows are divided in blocks), and one SAE.
SHAPES = [([5, 5], 48, 16, 64), ([1, 7, 3], 30, 8, 40), ([12, 4], 12, 16, 9), ([5, 2], 8, 6, 1500), ([6], 20, 7, 3)]


def ensemble(k: list[int], h: int, d: int, activation: str = "topk", dtype: torch.dtype = torch.float32) -> Ensemble:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(len(k), h, d, generator=generator, dtype=dtype) * torch.linspace(0.3, 2, h)[:, None]
    b = torch.randn(len(k), h, generator=generator, dtype=dtype) * 0.3
    return Ensemble(W, b, k, activation, torch.zeros(d))


def inputs(rows: int, d: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy vectors, and the same without noise."""
    generator = torch.Generator().manual_seed(4)
    clean, noise = torch.randn(2, rows, d, generator=generator, dtype=dtype)
    return clean + 0.7 * noise, clean


def gradients(saes: Ensemble) -> tuple[torch.Tensor, torch.Tensor]:
    """Tensors with what a step has to overwrite."""
    return torch.full_like(saes.W, 7), torch.full_like(saes.b, 7)


def one_by_one(
    one: Callable[..., Step], saes: Ensemble, x: torch.Tensor, target: torch.Tensor | None, precision: str = "float32"
) -> list[tuple[Step, Member]]:
    """The same step of one SAE after the other."""
    d_W, d_b = gradients(saes)
    views = zip(saes.W, saes.b, d_W, d_b, saes.k, strict=True)
    members = [Member(*view, saes.activation, precision) for view in views]
    return [(one(member, x, target), member) for member in members]


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(("k", "h", "d", "rows"), SHAPES)
def test_all_saes_at_once_equal_dense_autograd_in_double_precision(k, h, d, rows, activation: str, noisy: bool) -> None:
    saes = ensemble(k, h, d, activation, torch.float64)
    x, clean = inputs(rows, d, torch.float64)
    target = clean if noisy else None
    d_W, d_b = gradients(saes)
    steps = EnsembleStep(saes, d_W, d_b)(x, target)

    W, b = saes.W.clone().requires_grad_(), saes.b.clone().requires_grad_()
    losses = [dense_loss(x, W[i], b[i], own, activation == "topk_relu", target) for i, own in enumerate(k)]
    torch.stack(losses).sum().backward()
    for i, (own, loss) in enumerate(zip(steps, losses, strict=True)):
        active = (x @ saes.W[i].T + saes.b[i]).topk(k[i], dim=1).indices
        assert own.loss.item() == pytest.approx(loss.item(), rel=1e-12)
        assert torch.equal(own.counts, active.flatten().bincount(minlength=h))
    torch.testing.assert_close(d_W, W.grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(d_b, b.grad, rtol=1e-9, atol=1e-12)


def test_rows_are_divided_in_blocks_in_one_of_the_shapes() -> None:
    assert [sum(k) * rows >= 2 * PAIRS * len(k) * h for k, h, _, rows in SHAPES] == [False, False, False, True, False]


@pytest.mark.parametrize("one", [step.loss_and_gradients, step_cpu.loss_and_gradients], ids=["torch", "compiled"])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(("k", "h", "d", "rows"), SHAPES)
def test_all_saes_at_once_equal_one_after_the_other(k, h, d, rows, activation: str, one) -> None:
    saes = ensemble(k, h, d, activation)
    x, clean = inputs(rows, d)
    d_W, d_b = gradients(saes)
    together = EnsembleStep(saes, d_W, d_b)(x, clean)
    for i, (own, (expected, member)) in enumerate(zip(together, one_by_one(one, saes, x, clean), strict=True)):
        assert own.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
        assert torch.equal(own.counts.long(), expected.counts.long())
        assert (own.g - expected.g).norm() < 1e-5 * expected.g.norm()
        assert (d_W[i] - member.d_W).norm() < 1e-5 * member.d_W.norm()
        assert (d_b[i] - member.d_b).norm() < 1e-5 * member.d_b.norm()


def test_bfloat16_rounds_as_in_a_step_of_one_sae() -> None:
    # All latents are selected: two rounded values of a row may be equal, and either of them be the larger.
    saes = ensemble([48, 48], 48, 16)
    x, _ = inputs(64, 16)
    (d_W, d_b), (full_W, full_b) = gradients(saes), gradients(saes)
    EnsembleStep(saes, d_W, d_b, "bfloat16")(x)
    EnsembleStep(saes, full_W, full_b)(x)
    rounded = torch.stack([member.d_W for _, member in one_by_one(step.loss_and_gradients, saes, x, None, "bfloat16")])
    assert (d_W - full_W).norm() > 1e-3 * full_W.norm()
    assert (d_W - rounded).norm() < 0.1 * (d_W - full_W).norm()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_weight_makes_only_its_own_loss_bad(bad: float) -> None:
    saes = ensemble([4, 3], 40, 6)
    saes.b[1, 3] = bad
    first, second = EnsembleStep(saes, *gradients(saes))(inputs(8, 6)[0])
    assert torch.isfinite(first.loss) and not torch.isfinite(second.loss)


def test_a_step_repeats_bit_for_bit() -> None:
    saes = ensemble([5, 2], 8, 6)
    x, _ = inputs(1500, 6)
    first, second = gradients(saes), gradients(saes)
    for written in (first, second):
        EnsembleStep(saes, *written)(x)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize(("k", "h", "d", "rows"), SHAPES)
def test_a_step_on_a_gpu_is_near_that_on_the_cpu_and_waits_for_nothing(k, h, d, rows, activation: str, precision: str) -> None:
    here = ensemble(k, h, d, activation)
    there = here.to(CUDA)
    x, clean = inputs(rows, d)
    (d_W, d_b), (d_W_there, d_b_there) = gradients(here), gradients(there)
    on_gpu = EnsembleStep(there, d_W_there, d_b_there, precision)
    x_there, clean_there = x.to(CUDA), clean.to(CUDA)
    with without_waiting():
        steps = on_gpu(x_there, clean_there)
    expected = EnsembleStep(here, d_W, d_b)(x, clean)
    near = 2e-2 if precision == "bfloat16" else 1e-5
    assert [own.loss.item() for own in steps] == pytest.approx([own.loss.item() for own in expected], rel=near)
    if precision == "float32":
        assert all(torch.equal(own.counts.cpu(), other.counts) for own, other in zip(steps, expected, strict=True))
        assert (d_W_there.cpu() - d_W).norm() < 1e-5 * d_W.norm() and (d_b_there.cpu() - d_b).norm() < 1e-5 * d_b.norm()


@needs_gpu
def test_a_step_on_a_gpu_repeats_bit_for_bit() -> None:
    saes = ensemble([36, 20], 96, 64).to(CUDA)
    x = inputs(5000, 64)[0].to(CUDA)
    first, second = gradients(saes), gradients(saes)
    for written in (first, second):
        EnsembleStep(saes, *written)(x)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
