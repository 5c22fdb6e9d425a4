from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.evaluation.metrics import activities, sum_over
from mfr.saes.ensemble import Activation, Ensemble
from mfr.vectors.reader import Vectors

MOST = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.evaluation.metrics.STRONGEST", MOST)


def dense_codes(x: torch.Tensor, saes: Ensemble, sae: int) -> torch.Tensor:
    """All values (N, h) of one SAE, zero where a latent is not active."""
    pre = x @ saes.W[sae].T + saes.b[sae]
    kept = pre >= pre.sort(dim=1, descending=True).values[:, saes.k[sae] - 1 : saes.k[sae]]
    return torch.where(kept, pre.relu() if saes.activation == "topk_relu" else pre, 0.0)


def bias_of_three_rows(pre: torch.Tensor, latent: int) -> torch.Tensor:
    """The bias that leaves a latent among the two largest values of three rows."""
    others = torch.cat([pre[:, :latent], pre[:, latent + 1 :]], dim=1)
    lead = (pre[:, latent] - others.topk(2, dim=1).values[:, 1]).sort(descending=True).values
    return -lead[2:4].mean()


@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_activity_is_that_of_all_codes_at_once(data: Path, activation: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.evaluation.metrics.EVALUATION_BATCH", 64)
    saes = Ensemble.random([2, 12], 24, 10, activation, seed=0)
    saes.b[:, 0] = -100  # dead
    with Vectors(data) as vectors:
        x = vectors.read(0, vectors.rows)
        saes.b[0, 1] = bias_of_three_rows(x @ saes.W[0].T, 1)
        sums = sum_over(vectors, saes)
    assert sums.count[0, :2].tolist() == [0, 3]
    table = activities(sums)
    assert table["sae"].tolist() == [0] * 24 + [1] * 24 and table["latent"].tolist() == 2 * list(range(24))
    for sae in (0, 1):
        codes = dense_codes(x, saes, sae)
        for latent, row in enumerate(table[table["sae"] == sae].itertuples()):
            active = codes[:, latent] != 0
            strongest = codes[:, latent].where(active, -torch.inf).argsort(descending=True)[: min(MOST, int(active.sum()))]
            assert row.frequency == pytest.approx(active.float().mean().item())
            assert row.top_rows.tolist() == strongest.tolist()
            assert row.top_values == pytest.approx(codes[strongest, latent].numpy(), rel=1e-4)
            if len(strongest):
                assert row.mean_activation == pytest.approx(codes[active, latent].mean().item(), rel=1e-4)
                assert row.max_activation == pytest.approx(codes[active, latent].max().item(), rel=1e-4)
            else:
                assert np.isnan(row.mean_activation) and np.isnan(row.max_activation)


def test_of_equal_values_the_first_rows_are_kept(dense_file, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfr.evaluation.metrics.EVALUATION_BATCH", 4)
    rows = np.array([[1.0], [3.0], [2.0], [3.0], [3.0], [2.0], [3.0], [1.0]], dtype=np.float32)
    saes = Ensemble(torch.ones(1, 1, 1), torch.zeros(1, 1), [1], "topk", torch.zeros(1))
    with Vectors(dense_file(rows)) as vectors:
        (row,) = activities(sum_over(vectors, saes)).itertuples()
    assert row.top_rows.tolist() == [1, 3, 4, 6, 2] and row.top_values.tolist() == [3, 3, 3, 3, 2]


def test_clipped_values_are_not_among_the_largest(dense_file) -> None:
    saes = Ensemble(torch.ones(1, 1, 1), torch.zeros(1, 1), [1], "topk_relu", torch.zeros(1))
    with Vectors(dense_file(np.array([[1.0], [-1.0], [2.0], [-3.0]], dtype=np.float32))) as vectors:
        (row,) = activities(sum_over(vectors, saes)).itertuples()
    assert row.top_rows.tolist() == [2, 0] and row.frequency == 0.5 and row.mean_activation == 1.5
