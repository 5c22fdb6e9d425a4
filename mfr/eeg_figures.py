"""Figures of EEG: distances of decoders, denoising, signals and their spectra, features over channels, time and scalp."""

import pandas as pd
from matplotlib.figure import Figure

from mfr.figures import colours_of, panels


def decoder_distances(distances: pd.DataFrame, hidden: int) -> Figure:
    """L2 distance of each decoder to the smallest k's over k, row by row and of one-to-one pairs (paper, figure 10).

    `distances` is `mfr.table3.decoder_distances`; bands span the seeds, and the dotted line is what two independent
    dictionaries of `hidden` features of unit length have.
    """
    figure, axes = panels(2)
    methods = list(distances["method"].unique())
    for panel, column, title in zip(axes, ("l2", "l2_matched"), ("row by row", "one-to-one pairs"), strict=True):
        for method, colour in zip(methods, colours_of(len(methods)), strict=True):
            seeds = distances[distances["method"] == method].pivot(index="k", columns="seed", values=column)
            panel.plot(seeds.index, seeds.mean(axis=1), marker="o", markersize=4, color=colour, label=method, linewidth=1.4)
            panel.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.25, linewidth=0)
        panel.axhline((2 * hidden) ** 0.5, color="black", linestyle=":", linewidth=1, label="independent rows")
        panel.set(title=title, xlabel="k")
    axes[0].set_ylabel("L2 distance to the smallest k's decoder")
    axes[0].legend(fontsize="small")
    return figure
