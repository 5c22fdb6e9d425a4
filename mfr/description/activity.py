"""How often and how strongly each latent is active, and in which rows most."""

import numpy as np
import pandas as pd
import torch

from mfr.saes.ensemble import Ensemble
from mfr.vectors.reader import Vectors

ROWS_AT_ONCE = 4096


class Activity:
    """Running activity of the h latents of one SAE over rows.

    A latent is active in a row if its value there is not zero. count (h) is the number of rows in which each latent is
    active, and total (h) the sum of its values. values (h, n) are its n largest values in falling order and rows (h, n)
    their row numbers, filled with −inf and −1 if it was active in fewer rows. Of equal values, the first rows' are kept.
    """

    def __init__(self, hidden: int, most: int, device: torch.device) -> None:
        self.count = torch.zeros(hidden, dtype=torch.int64, device=device)
        self.total = torch.zeros(hidden, dtype=torch.float64, device=device)
        self.values = torch.full((hidden, most), -torch.inf, device=device)
        self.rows = torch.full((hidden, most), -1, device=device)

    def add(self, first: int, values: torch.Tensor, latents: torch.Tensor) -> None:
        """Add B rows, from row number `first` on: values and indices (B, k) of `Ensemble.encode`."""
        k = values.shape[1]
        values, latents = values.flatten(), latents.flatten()
        active = values != 0
        self.count += torch.bincount(latents[active], minlength=len(self.count))
        self.total.index_add_(0, latents, values.double())
        entering = (active & (values > self.values[latents, -1])).nonzero().squeeze(1)
        self._merge(values[entering], latents[entering], first + entering // k)

    def _merge(self, values: torch.Tensor, latents: torch.Tensor, rows: torch.Tensor) -> None:
        """Keep the n largest of each latent's stored and new values."""
        hidden, most = self.values.shape
        every = torch.arange(hidden, device=rows.device)
        values = torch.cat([self.values.flatten(), values])
        latents = torch.cat([every.repeat_interleave(most), latents])
        order = values.argsort(descending=True, stable=True)
        order = order[latents[order].argsort(stable=True)]
        latents = latents[order]
        place = torch.arange(len(order), device=rows.device) - torch.searchsorted(latents, every)[latents]
        kept = order[place < most]
        self.values = values[kept].view(hidden, most)
        self.rows = torch.cat([self.rows.flatten(), rows])[kept].view(hidden, most)


def activities(vectors: Vectors, saes: Ensemble, most: int) -> list[Activity]:
    """Activity of each SAE on all rows of `vectors`, in one pass.

    Keeps the `most` largest values of each latent.
    """
    found = [Activity(saes.W.shape[1], most, saes.W.device) for _ in saes.k]
    first = 0
    for rows in vectors.sequential(ROWS_AT_ONCE):
        x = rows.to(saes.W.device)
        for sae, activity in enumerate(found):
            activity.add(first, *saes.encode(sae, x))
        first += len(rows)
    return found


def activity_table(activity: Activity, rows: int) -> pd.DataFrame:
    """A table with one row per latent, from activity in `rows` rows.

    Columns: frequency; mean_activation and max_activation over the rows in which the latent is active, NaN if it is dead;
    top_values and top_rows, lists of the largest values in falling order and of their row numbers.
    """
    count, largest = activity.count.cpu().numpy(), activity.values.cpu().numpy()
    listed = largest > -np.inf
    ends = listed.sum(axis=1).cumsum()
    return pd.DataFrame(
        {
            "frequency": count / rows,
            "mean_activation": activity.total.cpu().numpy() / np.where(count, count, np.nan),
            "max_activation": np.where(count, largest[:, 0], np.nan),
            "top_values": by_latent(largest[listed], ends),
            "top_rows": by_latent(activity.rows.cpu().numpy()[listed], ends),
        }
    )


def by_latent(values: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """Split concatenated values into one array per latent, which ends at its place in `ends`."""
    return np.split(values, ends)[:-1]
