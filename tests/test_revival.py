import pytest
import torch

from mfr.method import AuxK
from mfr.revival import auxk_gradients, least_alike


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


def test_least_alike_features_are_those_without_a_likeness() -> None:
    own = torch.eye(5)[:3]
    other = torch.eye(5)[[0, 4, 1]] + 0.1 * torch.eye(5)[[1, 1, 1]]
    assert least_alike(own, 7 * other, 2).tolist() == [1, 0]
    assert least_alike(own, other, 0).tolist() == []
