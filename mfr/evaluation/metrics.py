"""Metrics of SAEs on held-out vectors, and their names.

A latent's feature is its row of W at unit length. MMCS and MCC never share a name: `mmcs_max` is the mean of the largest
cosines (paper, section 3.3), `mcc_hungarian` the mean cosine after one-to-one matching.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from mfr.evaluation.activity import STRONGEST, Strongest, activity_table
from mfr.evaluation.records import PairMetrics, SaeMetrics, SimilarityCorrelation, TruthMetrics
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble, decode, unevenness
from mfr.saes.similarity import Similarity, similarities
from mfr.vectors.reader import Vectors

EVALUATION_BATCH = 4096

Similarities = dict[Literal["max", "hungarian"], np.ndarray]


@dataclass
class Sums:
    """Sums over held-out rows x, with their number and their mean (d).

    variance is Σ ‖x − mean‖². squared_error (n) is Σ ‖x̂ − x‖² of each SAE. count (n, h), int64, is the number of rows in which
    each latent is active, and strength (n, h), float64, the sum of its values: float32 loses ones beyond 2²⁴. strongest has the
    largest values of each SAE's latents.
    """

    rows: int
    mean: torch.Tensor
    variance: float
    squared_error: torch.Tensor
    count: torch.Tensor
    strength: torch.Tensor
    strongest: list[Strongest]


def sum_over(vectors: Vectors, saes: Ensemble) -> Sums:
    """Run all rows of `vectors` through all SAEs once; `UserError` if the rows do not vary."""
    n, hidden = saes.b.shape
    device = saes.W.device
    errors = torch.zeros(n, dtype=torch.float64)
    counts = torch.zeros(n, hidden, dtype=torch.int64, device=device)
    strengths = torch.zeros(n, hidden, dtype=torch.float64, device=device)
    strongest = [Strongest(hidden, STRONGEST, device) for _ in range(n)]
    total, squares, first = torch.zeros(vectors.size, dtype=torch.float64), 0.0, 0
    for rows in vectors.sequential(EVALUATION_BATCH):
        total += rows.double().sum(dim=0)
        squares += rows.double().square().sum().item()
        x = rows.to(device)
        for i in range(n):
            values, indices = saes.encode(i, x)
            errors[i] += (decode(values, indices, saes.W[i]) + saes.offset - x).square().sum().double().cpu()
            counts[i].index_add_(0, indices.flatten(), (values != 0).long().flatten())
            strengths[i].index_add_(0, indices.flatten(), values.double().flatten())
            strongest[i].add(first, values, indices)
        first += len(rows)
    mean = total / vectors.rows
    variance = squares - vectors.rows * mean.square().sum().item()
    if vectors.rows < 2 or variance <= 1e-12 * squares:
        found = "has only one row" if vectors.rows == 1 else f"its {vectors.rows} rows do not vary"
        raise UserError(f"{vectors.path}: {found}; metrics need at least two different vectors")
    return Sums(vectors.rows, mean.float(), variance, errors, counts.cpu(), strengths.cpu(), strongest)


def sae_metrics(sums: Sums, sae: int, k: int) -> SaeMetrics:
    """Metrics of one SAE with k active latents, from its sums."""
    error, count = sums.squared_error[sae].item(), sums.count[sae]
    return SaeMetrics(
        k=k,
        mse=error / (sums.rows * len(sums.mean)),
        l2_squared=error / sums.rows,
        fvu=error / sums.variance,
        l0=count.sum().item() / sums.rows,
        dead=(count == 0).float().mean().item(),
        unevenness=unevenness(count / sums.rows, k, "absolute"),
    )


def truth_metrics(truth: Similarity, recovered_at: float) -> TruthMetrics:
    """Metrics of one SAE from its similarity to the true features.

    recovered is the share of true features with a cosine above `recovered_at`.
    """
    return TruthMetrics(mmcs_max=truth.mmcs_max, mcc_hungarian=truth.mcc_hungarian, recovered=truth.recovered(recovered_at))


def similarities_to_truth(W: torch.Tensor, features: torch.Tensor) -> list[Similarity]:
    """The similarity of each SAE in W (n, h, d) to the true features (G, d)."""
    true = normalize(features.to(W), dim=1)
    return similarities((sae, true) for sae in normalize(W, dim=2))


@dataclass
class Compared:
    """Comparison of two SAEs, `first` and `second`: metrics of the pair, and their similarity."""

    metrics: PairMetrics
    similarity: Similarity


def compared(W: torch.Tensor) -> list[Compared]:
    """Comparisons of all pairs i < j of the SAEs W (n, h, d), in order."""
    pairs, W = list(combinations(range(len(W)), 2)), normalize(W, dim=2)
    found = similarities((W[i], W[j]) for i, j in pairs)
    return [Compared(_pair_metrics(i, j, W, own), own) for (i, j), own in zip(pairs, found, strict=True)]


def _pair_metrics(first: int, second: int, W: torch.Tensor, similarity: Similarity) -> PairMetrics:
    A, B = W[first], W[second]
    return PairMetrics(
        first=first,
        second=second,
        mmcs_max=similarity.mmcs_max,
        mcc_hungarian=similarity.mcc_hungarian,
        decoder_l2=(A - B).norm().item(),
        decoder_l2_matched=(A[similarity.rows] - B[similarity.columns]).norm().item(),
    )


def similarity_table(saes: int, hidden: int, pairs: list[Compared], truth: list[Similarity] | None) -> pd.DataFrame:
    """One row per latent: similarity to other SAEs' and to true features.

    `pairs` is what `compared` returns, `truth` each SAE's similarity to the true features, if they are known. `across_*` is the
    mean over the other SAEs, and missing for a single SAE. `truth_hungarian` is NaN for latents without a one-to-one partner.
    `_max` and `_hungarian` name the matching.
    """
    others: list[list[Similarities]] = [[] for _ in range(saes)]
    for pair in pairs:
        others[pair.metrics.first].append(_of_latents(pair.similarity))
        others[pair.metrics.second].append(_of_latents(pair.similarity.reversed))
    frames = []
    for i, own in enumerate(others):
        columns = {"sae": np.full(hidden, i), "latent": np.arange(hidden)}
        if own:
            columns |= {f"across_{name}": np.mean([other[name] for other in own], axis=0) for name in own[0]}
        if truth:
            columns |= {f"truth_{name}": values for name, values in _of_latents(truth[i]).items()}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _of_latents(similarity: Similarity) -> Similarities:
    paired = torch.full_like(similarity.largest, float("nan"))
    paired[similarity.rows] = similarity.cosines
    return {"max": similarity.largest.cpu().numpy(), "hungarian": paired.cpu().numpy()}


def latent_table(saes: Ensemble, sums: Sums, pairs: list[Compared], truth: list[Similarity] | None) -> pd.DataFrame:
    """One row per latent: k, firing frequency, mean activation, and `similarity_table`.

    The mean activation is over rows in which the latent is active.
    """
    table = similarity_table(len(saes.k), saes.b.shape[1], pairs, truth)
    count = sums.count.flatten()
    table.insert(2, "k", [saes.k[sae] for sae in table["sae"]])
    table.insert(3, "frequency", (count / sums.rows).numpy())
    table.insert(4, "mean_activation", (sums.strength.flatten() / count.clip(min=1)).numpy())
    return table


def activities(sums: Sums) -> pd.DataFrame:
    """One row per latent: sae, latent, and the columns of `mfr.evaluation.activity.activity_table`."""
    tables = []
    for sae, (count, strength, strongest) in enumerate(zip(sums.count, sums.strength, sums.strongest, strict=True)):
        table = activity_table(count, strength, sums.rows, strongest)
        table.insert(0, "sae", sae)
        table.insert(1, "latent", np.arange(len(table)))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def correlation(table: pd.DataFrame) -> SimilarityCorrelation:
    """Pearson's r of `across_*` with `truth_*` in a `similarity_table`, for both matchings."""
    return SimilarityCorrelation(
        r_max=table["across_max"].corr(table["truth_max"]),
        r_hungarian=table["across_hungarian"].corr(table["truth_hungarian"]),
    )
