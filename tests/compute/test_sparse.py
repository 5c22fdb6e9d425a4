import pytest
import torch

from mfr.compute.sparse import gathered_products, products


@pytest.mark.parametrize("sampled", [products, gathered_products])
def test_sampled_products_are_the_entries_of_the_product(sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.compute.sparse.GATHERED_ELEMENTS", 50)
    A, B = torch.randn(13, 5), torch.randn(9, 5)
    chosen = torch.rand(13, 9) < 0.4
    rows, columns = chosen.nonzero(as_tuple=True)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), chosen.sum(dim=1).cumsum(0)])
    assert torch.allclose(sampled(A, B, starts, columns), (A @ B.T)[rows, columns], atol=1e-5)
