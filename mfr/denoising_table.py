"""How well ensembles denoise, over seeds, beside the linear references.

The windows and the noise are the same for all seeds: intervals are Student's over seeds, and tell of training alone.
"""

import pandas as pd

from mfr.denoising import Scores
from mfr.intervals import contest, student

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


def denoising_tree(table: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Means over strengths as nested keys for `dvc metrics diff`, such as `baseline.blink.k12.snr_gain_db`."""
    tree: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    means = table.groupby(["denoiser", "noise", "k"], sort=False)[["snr_gain_db", "over_pca_db"]].mean()
    for row in means.reset_index().itertuples():
        leaf = {"snr_gain_db": row.snr_gain_db, "over_pca_db": row.over_pca_db}
        rounded = {name: float(f"{value:.6g}") for name, value in leaf.items() if pd.notna(value)}
        tree.setdefault(row.denoiser, {}).setdefault(row.noise, {})[f"k{row.k}" if row.k else "all"] = rounded
    del tree["nothing"]
    return tree
