"""In which rows each latent is most active, and the table that says so."""

import numpy as np
import pandas as pd
import torch

STRONGEST = 10


class Strongest:
    """Running n largest values of the h latents of one SAE.

    A latent is active in a row if its value there is not zero. values (h, n) are its n largest values in falling order and rows
    (h, n) their row numbers, filled with −inf and −1 if it was active in fewer rows. Of equal values, the first rows' are kept.
    """

    def __init__(self, hidden: int, most: int, device: torch.device) -> None:
        self.values = torch.full((hidden, most), -torch.inf, device=device)
        self.rows = torch.full((hidden, most), -1, device=device)

    def add(self, first: int, values: torch.Tensor, latents: torch.Tensor) -> None:
        """Add B rows, from row number `first` on: values and indices (B, k) of `Ensemble.encode`."""
        k = values.shape[1]
        values, latents = values.flatten(), latents.flatten()
        entering = ((values != 0) & (values > self.values[latents, -1])).nonzero().squeeze(1)
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


def activity_table(count: torch.Tensor, strength: torch.Tensor, rows: int, strongest: Strongest) -> pd.DataFrame:
    """A table with one row per latent of one SAE, from its activity in `rows` rows.

    count (h) is the number of rows in which each latent is active, and strength (h) the sum of its values. Columns: frequency;
    mean_activation and max_activation over the rows in which the latent is active, NaN if it is dead; top_values and top_rows,
    lists of the largest values in falling order and of their row numbers.
    """
    active, largest = count.numpy(), strongest.values.cpu().numpy()
    listed = largest > -np.inf
    ends = listed.sum(axis=1).cumsum()
    return pd.DataFrame(
        {
            "frequency": active / rows,
            "mean_activation": strength.numpy() / np.where(active, active, np.nan),
            "max_activation": np.where(active, largest[:, 0], np.nan),
            "top_values": np.split(largest[listed], ends)[:-1],
            "top_rows": np.split(strongest.rows.cpu().numpy()[listed], ends)[:-1],
        }
    )
