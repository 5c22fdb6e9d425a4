"""Tables that are read side by side with the paper's: a metric for each k, and what each method changes of it."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mfr.comparison.intervals import contest, student
from mfr.denoising.denoisers import Scores
from mfr.evaluation.records import Evaluation

SHOWN = {
    "mean": "mean",
    "sd": "sd",
    "change": "change_percent",
    "change_sd": "change_sd",
    "change_low": "low",
    "change_high": "high",
    "seeds": "n",
}


def by_k(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a k and method, and one a method with the means over all k (paper, tables 1 to 3).

    `summary` is that of `mfr.comparison.summary`. Columns k, method, versus; mean and sd over seeds of `metric`, a loss; and its change
    in percent of versus's, with sd, 95 % interval (low, high) and number of seeds n. The change of a method that is its own
    `versus` is NaN.
    """
    here = summary[(summary["metric"] == metric) & summary["group"].str.fullmatch(r"k\d+|all_k")]
    table = here.assign(k=here["group"].replace("all_k", "mean").str.removeprefix("k")).rename(columns=SHOWN)
    table.loc[table["method"] == table["versus"], ["change_percent", "change_sd", "low", "high"]] = float("nan")
    order = table["k"].map(lambda k: float("inf") if k == "mean" else int(k))
    columns = ["k", "method", "versus", *SHOWN.values()]
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True)[columns]


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
    """One row a method and k, and one with the means over all k, from the summary of `mfr.comparison.summary` and `decoder_distances`.

    Columns k, method, versus; the mean squared error with its sd, and its change in percent of versus's, with sd, interval and
    number of seeds; and the three distances with their sds, NaN for the smallest k itself.
    """
    loss = by_k(summary, "mse").rename(columns={"mean": "mse"})
    means = distances.groupby(["method", "seed"], sort=False)[list(DISTANCES)].mean().reset_index().assign(k="mean")
    every = pd.concat([distances.astype({"k": str}), means])
    over_seeds = every.groupby(["method", "k"], sort=False)[list(DISTANCES)].agg(["mean", "std"])
    over_seeds.columns = [name if what == "mean" else f"{name}_sd" for name, what in over_seeds.columns]
    return loss.merge(over_seeds.reset_index(), on=["method", "k"], how="left")


KEYS = ["noise", "snr_db", "denoiser", "k"]


def denoising_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a noise, strength, denoiser and k, from the tables of the stage denoise with their methods and seeds.

    Denoisers are `nothing`, `wiener` and `pca`, which are the same in every run, and the methods. Columns: those; the `Scores`,
    means over seeds, with sd, low, high and n of the gain; and by how many dB it is above PCA's with as many components, with
    interval and verdict: `better` or `worse` where the whole interval is, else `undecided`.
    """
    references = runs[runs["denoiser"] != "sae"].drop_duplicates(KEYS)
    saes = runs[runs["denoiser"] == "sae"].assign(denoiser=runs["method"])
    by_seed = saes.groupby([*KEYS, "seed"], sort=False, as_index=False)[list(Scores._fields)].mean()
    return pd.concat([references[[*KEYS, *Scores._fields]], _over_seeds(by_seed, references)], ignore_index=True)


def _over_seeds(by_seed: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    pca = references[references["denoiser"] == "pca"].set_index(["noise", "snr_db", "k"])["snr_gain_db"]
    rows = []
    for key, seeds in by_seed.groupby(KEYS, sort=False):
        noise, level, _, k = key
        gain = student(seeds["snr_gain_db"].tolist())
        over = student((seeds["snr_gain_db"] - pca[noise, level, k]).tolist())
        means, spread = seeds[list(Scores._fields)].mean(), seeds["snr_gain_db"].std()
        rows.append((*key, *means, spread, gain.low, gain.high, gain.n, over.value, over.low, over.high, contest(over)))
    columns = [*KEYS, *Scores._fields, "sd", "low", "high", "n", "over_pca_db", "over_pca_low", "over_pca_high", "verdict"]
    return pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})


def write_table(table: pd.DataFrame, path: Path, digits: int = 6) -> None:
    """A CSV with so many significant digits."""
    table.to_csv(path, index=False, float_format=f"%.{digits}g")
