"""Whether features come back: similarity of SAEs within an ensemble, and between ensembles of different seeds.

SAEs of one ensemble see the same batches, and MFR pulls them together: that they agree is then no evidence. SAEs of
different seeds differ in first weights and in the order of the data, and no penalty acts between them, whatever the method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from mfr.loops import each
from mfr.matching import cosines, hungarian
from mfr.sae import Ensemble

MATCHED_AT = 0.7


@dataclass
class Trained:
    """One ensemble, by its method and seed."""

    method: str
    seed: int
    saes: Ensemble


def consistency(runs: Sequence[Trained]) -> pd.DataFrame:
    """Columns method, kind (`within` an ensemble, `between` seeds), k, pw_mcc, matched_70 and pairs.

    pw_mcc is the mean cosine of one-to-one pairs of features (arXiv 2505.20254), matched_70 the share of these above .7; both
    are means over pairs of SAEs. Between seeds, SAEs of the same place and k are compared; k is 0 where SAEs of an ensemble
    differ in it.
    """
    jobs = [*_within(runs), *_between(runs)]
    found = each(lambda job: _one_to_one(*job[3:]), jobs)
    rows = [(*job[:3], *measures) for job, measures in zip(jobs, found, strict=True)]
    table = pd.DataFrame(rows, columns=["method", "kind", "k", "pw_mcc", "matched_70"])
    grouped = table.groupby(["method", "kind", "k"], sort=False)
    return grouped.agg(pw_mcc=("pw_mcc", "mean"), matched_70=("matched_70", "mean"), pairs=("pw_mcc", "size")).reset_index()


def consistency_tree(table: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """The table as nested keys for `dvc metrics diff`, such as `baseline.between.k36.pw_mcc`."""
    tree: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for row in table.itertuples():
        leaf = {"pw_mcc": float(f"{row.pw_mcc:.6g}"), "matched_70": float(f"{row.matched_70:.6g}")}
        tree.setdefault(row.method, {}).setdefault(row.kind, {})[f"k{row.k}" if row.k else "mixed_k"] = leaf
    return tree


Job = tuple[str, str, int, torch.Tensor, torch.Tensor]


def _within(runs: Sequence[Trained]) -> list[Job]:
    return [
        (run.method, "within", run.saes.k[i] if run.saes.k[i] == run.saes.k[j] else 0, run.saes.W[i], run.saes.W[j])
        for run in runs
        for i, j in combinations(range(len(run.saes.k)), 2)
    ]


def _between(runs: Sequence[Trained]) -> list[Job]:
    return [
        (one.method, "between", k, one.saes.W[i], other.saes.W[i])
        for one, other in combinations(runs, 2)
        if one.method == other.method
        for i, k in enumerate(one.saes.k)
    ]


def _one_to_one(A: torch.Tensor, B: torch.Tensor) -> tuple[float, float]:
    similarity = cosines(A, B)
    paired = similarity[hungarian(similarity)]
    return paired.mean().item(), (paired > MATCHED_AT).float().mean().item()


def between_seeds(runs: Sequence[Trained]) -> pd.DataFrame:
    """Columns method, seed, sae, latent and between: a latent's largest cosine with the SAE of its place in another ensemble of
    its method, as a mean over the other seeds; NaN where there is one seed."""
    frames = []
    for run in runs:
        others = [other for other in runs if other.method == run.method and other.seed != run.seed]
        for i, W in enumerate(run.saes.W):
            nearest = [cosines(W, other.saes.W[i]).amax(dim=1).numpy() for other in others]
            between = np.mean(nearest, axis=0) if others else np.full(len(W), np.nan)
            columns = {"method": run.method, "seed": run.seed, "sae": i, "latent": np.arange(len(W)), "between": between}
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
