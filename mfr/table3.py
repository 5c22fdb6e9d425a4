"""Reconstruction loss of each k, and how far its decoder is from the smallest k's (paper, table 3 and figure 10).

Values are first averaged over a run's SAEs of equal k; means, standard deviations and Student's 95 % intervals are over seeds.
"""

from collections.abc import Iterator

import pandas as pd

from mfr.metrics import Evaluation
from mfr.tables import by_k

DISTANCES = ("l2", "l2_matched", "cosine")


def decoder_distances(evaluations: list[Evaluation]) -> pd.DataFrame:
    """Columns method, seed, k, l2, l2_matched and cosine: each SAE's decoder against that of the first SAE of smallest k.

    l2 is the Frobenius distance of rows in their order, as the paper measures it, l2_matched that of one-to-one pairs, and
    cosine the mean cosine of these pairs.
    """
    rows = [row for evaluation in evaluations for row in _distances(evaluation)]
    table = pd.DataFrame(rows, columns=["method", "seed", "k", *DISTANCES])
    return table.groupby(["method", "seed", "k"], sort=False, as_index=False).mean()


def _distances(evaluation: Evaluation) -> Iterator[tuple[str, int, int, float, float, float]]:
    ks = [sae.k for sae in evaluation.saes]
    smallest = ks.index(min(ks))
    for pair in evaluation.pairs:
        if smallest in (pair.first, pair.second):
            other = pair.first + pair.second - smallest
            values = (pair.decoder_l2, pair.decoder_l2_matched, pair.mcc_hungarian)
            yield evaluation.method, evaluation.seed, ks[other], *values


def table3(summary: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """One row a method and k, and one with the means over all k, from the summary of `mfr.comparison` and `decoder_distances`.

    Columns k, method, versus; the mean squared error with its sd, and its change in percent of versus's, with sd, interval and
    number of seeds; and the three distances with their sds, NaN for the smallest k itself.
    """
    loss = by_k(summary, "mse").rename(columns={"mean": "mse"})
    means = distances.groupby(["method", "seed"], sort=False)[list(DISTANCES)].mean().reset_index().assign(k="mean")
    every = pd.concat([distances.astype({"k": str}), means])
    over_seeds = every.groupby(["method", "k"], sort=False)[list(DISTANCES)].agg(["mean", "std"])
    over_seeds.columns = [name if what == "mean" else f"{name}_sd" for name, what in over_seeds.columns]
    return loss.merge(over_seeds.reset_index(), on=["method", "k"], how="left")
