import pytest
import torch

from mfr.description.latents import partners


def test_partners_have_the_largest_cosine() -> None:
    random = torch.Generator().manual_seed(0)
    W, other = torch.randn(6, 4, generator=random), 7 * torch.randn(9, 4, generator=random)
    table = partners(W, [("sae_0", None), ("seed_3", other)])
    similarity = torch.cosine_similarity(W[:, None], other[None], dim=2)
    assert table["partner_seed_3"].tolist() == similarity.argmax(dim=1).tolist()
    assert table["cosine_seed_3"].to_numpy() == pytest.approx(similarity.amax(dim=1).numpy(), abs=1e-5)
    assert table["partner_sae_0"].isna().all() and table["cosine_sae_0"].isna().all() and len(table) == 6
