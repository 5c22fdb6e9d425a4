"""Figures of every source, and the panels, colours and scales that all figures share."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

COLOURS = ("#555555", "#d95f02", "#1b6ca8", "#2a9d3a", "#8e44ad", "#c2a000")
DOTS_PER_INCH = 120
PANELS_A_ROW = 5
FREQUENCY_BINS = 25
LINES = ("-", "--", "-.", ":")


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Mean squared error over steps on logarithmic axes, one panel per k (paper, figure 7).

    Bands span the seeds.
    """
    ks, methods = sorted(curves["k"].unique()), list(curves["method"].unique())
    figure, axes = panels(len(ks), share_y=True)
    for k, panel in zip(ks, axes):
        for method, style in zip(methods, styles(len(methods))):
            here = curves[(curves["k"] == k) & (curves["method"] == method)]
            line_of_seeds(panel, here, "mse", style, method)
        panel.set_title(f"k = {k}")
        logarithmic_steps(panel)
        logarithmic(panel)
    axes[0].set_ylabel("mean squared error (training batches)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def bars(summary: pd.DataFrame, metric: str, label: str) -> Figure:
    """One metric for each k, one bar per method, with the standard deviation over seeds.

    It is laid out like the paper's figures 9 and 10. The scale starts at 0, or is logarithmic if positive values differ more
    than fivefold.
    """
    here = summary[(summary["metric"] == metric) & summary["group"].str.match(r"k\d+$")]
    groups, methods = list(here["group"].unique()), list(here["method"].unique())
    width_of_all = max(5.0, 1.5 + 0.28 * len(groups) * (len(methods) + 1))
    figure, (panel,) = panels(1, width=width_of_all, height=max(3.4, 0.8 + 0.22 * len(methods)))
    width = 0.8 / len(methods)
    for i, (method, colour) in enumerate(zip(methods, colours_of(len(methods)))):
        values = here[here["method"] == method].set_index("group").reindex(groups)
        positions = np.arange(len(groups)) + (i - (len(methods) - 1) / 2) * width
        panel.bar(positions, values["mean"], width, yerr=values["sd"].fillna(0), color=colour, label=method, capsize=2)
    panel.set_xticks(range(len(groups)), [f"k = {group[1:]}" for group in groups])
    panel.set_ylabel(label)
    if here["mean"].min() > 0 and here["mean"].max() > 5 * here["mean"].min():
        logarithmic(panel)
    figure.legend(loc="outside right upper", title="mean ± sd over seeds" if here["sd"].notna().any() else "one seed")
    return figure


def densities(latents: pd.DataFrame) -> Figure:
    """Histograms of log10 firing frequency, one panel per k, one outline per method.

    `latents` has one row per latent with the columns k, method and frequency. Heights are shares of all latents of a method
    and k, on a logarithmic scale. Dead latents, which have no logarithm, are counted in the legend.
    """
    ks, methods = sorted(latents["k"].unique()), list(latents["method"].unique())
    figure, axes = panels(len(ks), share_y=True, height=3.4 + 0.2 * len(methods))
    lowest = np.log10(latents["frequency"].where(latents["frequency"] > 0).min())
    scale = "linear" if np.isnan(lowest) else "log"
    edges = np.linspace(np.nan_to_num(lowest, nan=-1) - 1e-9, 1e-9, FREQUENCY_BINS + 1).tolist()
    for k, panel in zip(ks, axes):
        for method, colour in zip(methods, colours_of(len(methods))):
            frequency = latents["frequency"][(latents["k"] == k) & (latents["method"] == method)]
            active = frequency[frequency > 0]
            label = f"{method}, {100 * (1 - len(active) / len(frequency)):.1f} % dead"
            shares = np.full(len(active), 1 / len(frequency))
            panel.hist(np.log10(active), edges, weights=shares, histtype="step", color=colour, label=label, linewidth=1.4)
        panel.set(title=f"k = {k}", xlabel="log10 of the share of vectors", yscale=scale)
        panel.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    axes[0].set_ylabel("share of latents")
    return figure


def line_of_seeds(panel: Axes, curves: pd.DataFrame, measure: str, style: tuple[str, str], label: str) -> None:
    """Draw the mean over SAEs and seeds, and a band from the lowest to the highest seed."""
    seeds = curves.groupby(["step", "seed"])[measure].mean().unstack()
    colour, line = style
    panel.plot(seeds.index, seeds.mean(axis=1), color=colour, linestyle=line, label=label, linewidth=1.4)
    panel.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.25, linewidth=0)


def logarithmic_steps(panel: Axes) -> None:
    """Label the x axis `step` and make it logarithmic."""
    panel.set(xlabel="step", xscale="log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_minor_formatter(NullFormatter())


def logarithmic(panel: Axes) -> None:
    """Make the y axis logarithmic, with enough numbers to read it."""
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    # Over less than two decades, powers of ten would label the axis with hardly a number.
    if high < 100 * low:
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if high < 5 * low else NullFormatter())


def panels(
    count: int, width: float = 3.2, height: float = 3.4, a_row: int = PANELS_A_ROW, share_y: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """An empty figure with `count` panels, in even rows of at most `a_row`.

    `width` and `height` are those of one panel in inches.
    """
    rows = -(-count // a_row)
    columns = -(-count // rows)
    # Unlike pyplot, the Figure class needs no display and keeps no global list of figures.
    figure = Figure(figsize=(width * columns + 2.4 * (count == 1), height * rows), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.subplots(rows, columns, sharey=share_y, squeeze=False).flatten()
    for unused in axes[count:]:
        unused.set_axis_off()
    for panel in axes[:count]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, list(axes[:count])


def styles(count: int) -> list[tuple[str, str]]:
    """`count` colours with line styles, which keep coinciding curves visible."""
    return [(colour, LINES[i % len(LINES)]) for i, colour in enumerate(colours_of(count))]


def colours_of(count: int) -> list[str]:
    """`count` colours, always the same for the same `count`; they repeat after twenty."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [matplotlib.colors.to_hex(matplotlib.colormaps["tab20"](i % 20)) for i in range(count)]
