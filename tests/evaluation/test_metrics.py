import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mfr.evaluation.metrics import (
    Sums,
    compared,
    correlation,
    latent_table,
    sae_metrics,
    similarities_to_truth,
    similarity_table,
    sum_over,
    truth_metrics,
)
from mfr.evaluation.records import Evaluation, SaeMetrics
from mfr.saes.ensemble import Ensemble
from mfr.vectors.reader import Vectors
from tests.support.dense import dense_reconstruction


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((500, 6), dtype=np.float32) + 3


def test_metrics_equal_their_definitions_on_the_whole_matrix(
    rows: np.ndarray, dense_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfr.evaluation.metrics.EVALUATION_BATCH", 64)
    saes = Ensemble.random([2, 4], 16, 6, "topk", seed=0)
    with Vectors(dense_file(rows)) as vectors:
        sums = sum_over(vectors, saes)
    x = torch.from_numpy(rows)
    for i, k in enumerate(saes.k):
        error = dense_reconstruction(x, saes.W[i], saes.b[i], k, False) - x
        metrics = sae_metrics(sums, i, k)
        assert metrics.mse == pytest.approx(error.square().mean().item(), rel=1e-5)
        assert metrics.l2_squared == pytest.approx(error.square().sum(dim=1).mean().item(), rel=1e-5)
        assert metrics.fvu == pytest.approx((error.square().sum() / (x - x.mean(dim=0)).square().sum()).item(), rel=1e-4)
        assert metrics.l0 == pytest.approx(k)
        active = torch.zeros(500, 16).scatter(1, (x @ saes.W[i].T + saes.b[i]).topk(k, dim=1).indices, 1.0)
        assert metrics.dead == pytest.approx((active.sum(dim=0) == 0).float().mean().item())
        deviation = (active.mean(dim=0) - k / 16).abs() / (k / 16)
        assert metrics.unevenness == pytest.approx(deviation.mean().item(), rel=1e-5)


def test_clipped_latents_do_not_count_as_active(rows: np.ndarray, dense_file) -> None:
    saes = Ensemble.random([6], 6, 6, "topk_relu", seed=0)
    with Vectors(dense_file(rows)) as vectors:
        metrics = sae_metrics(sum_over(vectors, saes), 0, 6)
    positive = (torch.from_numpy(rows) @ saes.W[0].T > 0).float().sum(dim=1).mean().item()
    assert 0 < positive < 6 and metrics.l0 == pytest.approx(positive, rel=1e-4)


def test_the_truth_itself_is_recovered() -> None:
    features = torch.randn(8, 30)
    order = torch.randperm(8)
    half = torch.cat([features[:4], torch.randn(4, 30)])
    perfect, partly = (
        truth_metrics(own, 0.9) for own in similarities_to_truth(torch.stack([features[order] * 3, half]), features)
    )
    assert (perfect.mmcs_max, perfect.mcc_hungarian, perfect.recovered) == pytest.approx((1, 1, 1), abs=1e-5)
    assert partly.recovered == 0.5


def test_pairs_of_saes() -> None:
    W = torch.randn(3, 7, 5)
    W[1] = W[0] * 2
    W[2] = W[0].flip(0)
    pairs = {(pair.first, pair.second): pair for pair in (found.metrics for found in compared(W))}
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    assert pairs[0, 1].decoder_l2 == pytest.approx(0, abs=1e-5) and pairs[0, 2].decoder_l2 > 1
    assert all(pair.mmcs_max == pytest.approx(1, abs=1e-5) == pair.mcc_hungarian for pair in pairs.values())
    assert all(pair.decoder_l2_matched == pytest.approx(0, abs=2e-3) for pair in pairs.values())


def test_distances_of_matched_decoders_follow_from_their_cosines_and_of_unmatched_from_their_number_of_rows() -> None:
    for _ in range(2):
        (pair,) = (found.metrics for found in compared(torch.randn(2, 400, 300)))
        assert pair.decoder_l2_matched == pytest.approx(np.sqrt(2 * 400 * (1 - pair.mcc_hungarian)), rel=1e-4)
        assert pair.decoder_l2_matched < pair.decoder_l2 == pytest.approx(np.sqrt(2 * 400), rel=0.01)


def test_similarity_table_and_its_correlation() -> None:
    W, features = torch.randn(3, 5, 4), torch.randn(5, 4)
    table = similarity_table(3, 5, compared(W), similarities_to_truth(W, features))
    assert list(table["sae"]) == [0] * 5 + [1] * 5 + [2] * 5

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return torch.cosine_similarity(a, b, dim=0).item()

    expected_max = np.mean([max(cosine(W[1, 2], other) for other in W[j]) for j in (0, 2)])
    assert table.query("sae == 1 and latent == 2")["across_max"].item() == pytest.approx(expected_max, abs=1e-5)
    best = max(permutations(range(5)), key=lambda order: sum(cosine(W[0, i], features[j]) for i, j in enumerate(order)))
    expected = [cosine(W[0, i], features[j]) for i, j in enumerate(best)]
    assert np.allclose(table.query("sae == 0")["truth_hungarian"], expected, atol=1e-5)
    r = np.corrcoef(table["across_max"], table["truth_max"])[0, 1]
    assert correlation(table).r_max == pytest.approx(r)


def test_a_correlation_that_is_undefined_is_read_as_it_was_written() -> None:
    table = pd.DataFrame({name: [1.0, 1.0, 1.0] for name in ("across_max", "truth_max")}).assign(
        across_hungarian=[0.1, 0.5, 0.9], truth_hungarian=[0.2, 0.4, 0.6]
    )
    evaluation = Evaluation(
        source="synthetic", method="baseline", seed=0, rows=3, saes=[], pairs=[], correlation=correlation(table)
    )
    read = Evaluation.model_validate_json(evaluation.model_dump_json(exclude_none=True))
    assert read.correlation is not None
    assert np.isnan(read.correlation.r_max) and read.correlation.r_hungarian == pytest.approx(1)


def test_latents_left_without_a_true_partner_have_none() -> None:
    W = torch.randn(2, 6, 4)
    features = torch.randn(4, 4)
    table = similarity_table(2, 6, compared(W), similarities_to_truth(W, features))
    assert table["truth_hungarian"].isna().sum() == 4 and table["truth_max"].notna().all()
    assert np.isfinite(correlation(table).r_hungarian)


def test_a_single_sae_has_no_similarity_across(tmp_path: Path) -> None:
    assert "across_max" not in similarity_table(1, 6, [], None)


def test_counts_and_sums_beyond_float32_are_exact(dense_file) -> None:
    many = 2**24 + 1
    count, strength = torch.tensor([[many, 1]]), torch.zeros(1, 2, dtype=torch.float64)
    sums = Sums(many + 1, torch.zeros(2), 1.0, torch.ones(1), count, strength, [])
    assert sae_metrics(sums, 0, 1).l0 == 1
    # The first latent is once 2²⁴ and 300 times 1.
    rows = np.array([[2.0**24, 0.0]] + 300 * [[1.0, 0.0]], dtype=np.float32)
    saes = Ensemble(torch.eye(2)[None], torch.zeros(1, 2), [1], "topk_relu", torch.zeros(2))
    with Vectors(dense_file(rows)) as vectors:
        sums = sum_over(vectors, saes)
    assert sums.count.dtype == torch.int64 and sums.count.tolist() == [[301, 0]]
    assert sums.strength.tolist() == [[2**24 + 300, 0]]
    table = latent_table(saes, sums, [], None)
    assert table["frequency"].tolist() == [1, 0] and table["mean_activation"].tolist() == [(2**24 + 300) / 301, 0]


def test_values_that_are_not_finite_are_null_and_read_as_nan() -> None:
    sae = SaeMetrics(k=4, mse=float("nan"), l2_squared=1, fvu=1, l0=4, dead=0, unevenness=0, own={"kl": float("inf")})
    written = Evaluation(source="eeg", method="baseline", seed=0, rows=3, saes=[sae], pairs=[]).model_dump_json()
    assert json.loads(written)["saes"][0]["own"] == {"kl": None}
    read = Evaluation.model_validate_json(written).saes[0]
    assert np.isnan(read.mse) and np.isnan(read.own["kl"]) and read.truth is None
