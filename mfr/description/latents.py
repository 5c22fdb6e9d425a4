"""The table of latents: activity, contexts, and nearest latents in other SAEs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mfr.description.contexts import Contexts
from mfr.saes.ensemble import Ensemble
from mfr.saes.files import read_dictionary
from mfr.saes.similarity import largest_cosines

PROMOTED = 10


def describe(saes: Ensemble, activity: pd.DataFrame, seeds: Mapping[int, Path], contexts: Contexts) -> pd.DataFrame:
    """A table with one row per latent of every SAE; docs/features.md explains the columns.

    `activity` is the table of the ensemble's latents that stage evaluate writes. `seeds` maps other seeds to the weights of the
    same method's ensembles.
    """
    tables = []
    for sae, k in enumerate(saes.k):
        table = activity[activity["sae"] == sae].reset_index(drop=True)
        table.insert(1, "k", k)
        rows, ends = np.concatenate(table["top_rows"].to_numpy()), table["top_rows"].map(len).cumsum()
        table = table.assign(**{name: np.split(column, ends)[:-1] for name, column in contexts.of_rows(rows).items()})
        table = table.assign(**contexts.of_features(saes.W[sae], PROMOTED))
        tables.append(table.join(partners(saes.W[sae], _others(saes, sae, seeds))))
    return pd.concat(tables, ignore_index=True)


def _others(saes: Ensemble, sae: int, seeds: Mapping[int, Path]) -> Iterator[tuple[str, torch.Tensor | None]]:
    for other, W in enumerate(saes.W):
        yield f"sae_{other}", None if other == sae else W
    for seed, weights in seeds.items():
        yield f"seed_{seed}", read_dictionary(weights, sae)


def partners(W: torch.Tensor, others: Iterable[tuple[str, torch.Tensor | None]]) -> pd.DataFrame:
    """Nearest feature in each other dictionary for each feature of W (h, d), by cosine.

    The dictionary `name` gives the columns partner_`name`, the nearest feature's index, and cosine_`name`. Both are empty if
    the dictionary is None.
    """
    columns: dict[str, object] = {}
    for name, other in others:
        if other is None:
            latents, nearest = pd.array([pd.NA] * len(W), dtype="Int32"), np.full(len(W), np.nan, np.float32)
        else:
            cosine, latent = largest_cosines(W, other.to(W))
            latents, nearest = pd.array(latent.cpu().numpy(), dtype="Int32"), cosine.cpu().numpy()
        columns |= {f"partner_{name}": latents, f"cosine_{name}": nearest}
    return pd.DataFrame(columns, index=range(len(W)))
