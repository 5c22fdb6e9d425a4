import pytest
import torch

from mfr.method import AuxK, Transplant
from mfr.revival import auxk_gradients, transplants


@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
@pytest.mark.parametrize("k", [3, 50])
def test_auxk_gradients_equal_dense_autograd(activation: str, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, error = (torch.randn(20, 6, generator=generator) * scale for scale in (2, 0.3))
    W, b = (torch.randn(*shape, generator=generator).double().requires_grad_() for shape in ((9, 6), (9,)))
    found = auxk_gradients(x, error, W.detach().float(), b.detach().float(), AuxK(k=k, weight=0.25), activation)

    pre = x.double() @ W.T + b
    largest = pre >= pre.sort(dim=1, descending=True).values[:, [min(k, 9) - 1]]
    z = torch.where(largest & ((pre > 0) | (activation == "topk")), pre, 0.0)
    missed = z @ (W / W.norm(dim=1, keepdim=True)) - error
    loss = 0.25 * (x**2).mean() * torch.stack([(m @ m) / (e @ e) for m, e in zip(missed, error.double())]).mean()
    for gradient, expected in zip(found, torch.autograd.grad(loss, [W, b])):
        assert torch.allclose(gradient.double(), expected, rtol=1e-4, atol=1e-7)


def test_dead_latents_take_features_that_no_own_one_is_like() -> None:
    eye = torch.eye(6)
    W = torch.stack([eye[[0, 1, 2, 3]], 7 * eye[[1, 4, 5, 2]] + 0.1 * eye[[0, 0, 0, 0]], eye[[0, 1, 2, 3]]])
    idle = torch.tensor([[0, 9, 5, 9], [0, 0, 9, 0], [0, 0, 0, 0]])
    settings = Transplant(most=2, dead_after=6)
    first, second, third = transplants(W, idle, settings, turn=0)
    # SAE 0 lives on latents 0 and 2; of SAE 1's live ones e1 is the strangest but for a trace of e0, then e4.
    assert (first.sae, first.donor, first.latents.tolist()) == (0, 1, [1, 3])
    assert sorted(first.features.tolist()) == [0, 1]
    assert (second.donor, second.latents.tolist(), second.features.tolist()) == (2, [2], [3])
    assert third.latents.tolist() == third.features.tolist() == []
    assert [plan.donor for plan in transplants(W, idle, settings, turn=1)] == [2, 0, 1]
    assert [len(plan.latents) for plan in transplants(W, idle, Transplant(most=1, dead_after=6), 0)] == [1, 1, 0]
