"""Similarity of SAEs within an ensemble, and between ensembles of different seeds.

SAEs of one ensemble see the same batches. If a penalty pulls them together, or transplants copy features from one to another,
their agreement is no evidence. SAEs of different seeds differ in their initial weights and in their training vectors or the
order of these. Nothing acts between them, whatever the method.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from mfr.saes.ensemble import Ensemble
from mfr.saes.similarity import Similarity, largest_cosines, similarities

MATCHED_AT = 0.7
BETWEEN_COLUMNS = {"seed": int, "sae": int, "latent": int, "other": int, "between": float}
MEASURES = ["pw_mcc", "matched_70", "pw_mcc_live", "matched_70_live"]
WITH_SPREADS = [name for measure in MEASURES for name in (measure, f"{measure}_sd")]


class Pair(NamedTuple):
    """Two SAEs to compare, each as (ensemble, place in the ensemble).

    `kind` is `within` (one ensemble) or `between` (seeds); `k` is that of both SAEs, or 0 if they differ in k.
    """

    kind: str
    k: int
    first: tuple[int, int]
    second: tuple[int, int]


def consistency(ensembles: Sequence[Ensemble], live: Sequence[torch.Tensor]) -> pd.DataFrame:
    """Similarity of one method's SAEs: one row per kind of pair and k.

    `ensembles` has one ensemble per seed. `live` (n, h per ensemble) marks the latents that are ever active. Columns: kind, k,
    each of `MEASURES` with its standard deviation (`…_sd`), and pairs, the number of pairs of SAEs.

    pw_mcc is the mean cosine of one-to-one pairs of features (arXiv 2505.20254), matched_70 the share of these pairs above 0.7.
    Both are means over pairs of SAEs. `…_live` uses only live latents: nothing holds dead ones in place, so they may drift
    together and agree. Between seeds, SAEs at the same place in their ensembles are compared; their k is the same.
    """

    def measure(pair: Pair) -> tuple[float, ...]:
        (one, i), (other, j) = pair.first, pair.second
        A, B = normalize(ensembles[one].W[i], dim=1), normalize(ensembles[other].W[j], dim=1)
        every, living = similarities([(A, B), (A[live[one][i]], B[live[other][j]])])
        return *_agreement(every), *_agreement(living)

    pairs = [*_within(ensembles), *_between(ensembles)]
    rows = [(pair.kind, pair.k, *found) for pair, found in zip(pairs, map(measure, pairs), strict=True)]
    grouped = pd.DataFrame(rows, columns=["kind", "k", *MEASURES]).groupby(["kind", "k"], sort=False)
    means, spreads = grouped[MEASURES].mean(), grouped[MEASURES].std().add_suffix("_sd")
    return means.join(spreads)[WITH_SPREADS].assign(pairs=grouped.size()).reset_index()


def _within(ensembles: Sequence[Ensemble]) -> list[Pair]:
    """All pairs of SAEs of the same ensemble."""
    return [
        Pair("within", saes.k[i] if saes.k[i] == saes.k[j] else 0, (one, i), (one, j))
        for one, saes in enumerate(ensembles)
        for i, j in combinations(range(len(saes.k)), 2)
    ]


def _between(ensembles: Sequence[Ensemble]) -> list[Pair]:
    """For every two seeds, the pairs of SAEs at the same place."""
    seeds = combinations(range(len(ensembles)), 2)
    return [Pair("between", k, (one, i), (other, i)) for one, other in seeds for i, k in enumerate(ensembles[one].k)]


def _agreement(similarity: Similarity) -> tuple[float, float]:
    """Mean cosine of the one-to-one pairs, and the share of them above `MATCHED_AT`."""
    return similarity.mcc_hungarian, (similarity.cosines > MATCHED_AT).float().mean().item()


def between_seeds(ensembles: Mapping[int, Ensemble]) -> pd.DataFrame:
    """Each latent's largest cosine with another seed's SAE: one row per latent and other seed.

    `ensembles` holds one method's ensembles by seed. Columns: seed, sae, latent, other (the other seed) and between (the
    cosine). The other SAE is the one at the same place in its ensemble. With a single seed there are no rows.
    """
    rows = [
        pd.DataFrame({"seed": seed, "sae": i, "latent": np.arange(len(W)), "other": other, "between": nearest.numpy()})
        for seed, other in permutations(ensembles, 2)
        for i, W in enumerate(ensembles[seed].W)
        for nearest in [largest_cosines(W, ensembles[other].W[i])[0]]
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(BETWEEN_COLUMNS))
    return table.astype(BETWEEN_COLUMNS)
