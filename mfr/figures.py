"""What is drawn: figures of one source, from the tables of `mfr.comparison` and `mfr.metrics`."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from mfr.method import Reinitialise

COLOURS = ("#555555", "#d95f02", "#1b6ca8", "#2a9d3a", "#8e44ad", "#c2a000")
DOTS_PER_INCH = 120
PANELS_A_ROW = 5
UNEVEN_STEPS = 100
FREQUENCY_BINS = 25
ACROSS, TRUTH = "across_hungarian", "truth_hungarian"
DOTS = COLOURS[2]
NEVER_ACTIVE = "#d62728"
EQUAL = 0.01  # cosines across SAEs that differ less say nothing by their r
LINES = ("-", "--", "-.", ":")


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Mean squared error over steps, both logarithmic, a panel for each k; bands span the seeds (paper, figure 7)."""
    ks, methods = sorted(curves["k"].unique()), list(curves["method"].unique())
    figure, axes = panels(len(ks), share_y=True)
    for k, panel in zip(ks, axes):
        for method, style in zip(methods, _styles(len(methods))):
            here = curves[(curves["k"] == k) & (curves["method"] == method)]
            _line_of_seeds(panel, here, "mse", style, method)
        panel.set_title(f"k = {k}")
        _logarithmic_steps(panel)
        _logarithmic(panel)
    axes[0].set_ylabel("mean squared error (training batches)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def bars(summary: pd.DataFrame, metric: str, label: str) -> Figure:
    """One metric for each k, a bar a method, with the standard deviation over seeds (paper, figures 9 and 10).

    The scale starts at 0, and is logarithmic where positive values differ more than fivefold, as the paper's is.
    """
    here = summary[(summary["metric"] == metric) & summary["group"].str.match(r"k\d+$")]
    groups, methods = list(here["group"].unique()), list(here["method"].unique())
    width_of_all = max(5.0, 1.5 + 0.28 * len(groups) * (len(methods) + 1))
    figure, (panel,) = panels(1, width=width_of_all, height=max(3.4, 0.8 + 0.22 * len(methods)))
    width = 0.8 / len(methods)
    for i, (method, colour) in enumerate(zip(methods, colours_of(len(methods)))):
        values = here[here["method"] == method].set_index("group").loc[groups]
        positions = np.arange(len(groups)) + (i - (len(methods) - 1) / 2) * width
        panel.bar(positions, values["mean"], width, yerr=values["sd"].fillna(0), color=colour, label=method, capsize=2)
    panel.set_xticks(range(len(groups)), [f"k = {group[1:]}" for group in groups])
    panel.set_ylabel(label)
    if here["mean"].min() > 0 and here["mean"].max() > 5 * here["mean"].min():
        _logarithmic(panel)
    figure.legend(loc="outside right upper", title="mean ± sd over seeds")
    return figure


def densities(latents: pd.DataFrame) -> Figure:
    """How often latents are active: histograms of log10 of `frequency`, a panel for each k, an outline a method.

    `latents` holds the tables of all runs with a column `method`. Heights, logarithmic, are shares of all latents of a
    method and k; dead latents, which have no logarithm, are counted in the legend.
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


def similarities(latents: pd.DataFrame) -> Figure:
    """Similarity to the truth against similarity across SAEs, a dot a latent, a panel a method (paper, figures 2 and 3).

    `latents` holds the tables of all runs with a column `method`. Pairs are one to one; r is Pearson's, a mean ± standard
    deviation over seeds.
    """
    figure, drawn = _similarity_panels(latents)
    for panel, own in drawn:
        panel.scatter(ACROSS, TRUTH, data=own, s=6, color=DOTS, alpha=0.5, linewidths=0)
    return figure


def activity(latents: pd.DataFrame) -> Figure:
    """`similarities`, coloured by how often a latent is active; those that never are have a colour of their own (paper, figures
    4 and 5)."""
    figure, drawn = _similarity_panels(latents)
    frequency = latents["frequency"][latents["frequency"] > 0]
    scale = LogNorm(frequency.min(), frequency.max()) if len(frequency) else None
    for panel, own in drawn:
        active = own[own["frequency"] > 0].sort_values("frequency", ascending=False)
        dots = panel.scatter(ACROSS, TRUTH, data=active, s=6, c="frequency", norm=scale, cmap="viridis", linewidths=0)
        dead = own[own["frequency"] == 0]
        never = panel.scatter(ACROSS, TRUTH, data=dead, s=6, color=NEVER_ACTIVE, linewidths=0)
    figure.colorbar(dots, ax=[panel for panel, _ in drawn], label="share of vectors in which it is active")
    figure.legend([never], ["never active"], loc="outside lower right", markerscale=3)
    return figure


def _similarity_panels(latents: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """An empty panel for each method, with that method's latents."""
    methods = list(latents["method"].unique())
    figure, axes = panels(len(methods), share_y=True)
    limits = (min(latents[[ACROSS, TRUTH]].min(axis=None), 0) - 0.03, 1.03)  # left-over pairs may point apart
    drawn = [(panel, latents[latents["method"] == method]) for method, panel in zip(methods, axes)]
    for method, (panel, own) in zip(methods, drawn):
        r = pd.Series([seed[ACROSS].corr(seed[TRUTH]) for _, seed in own.groupby("seed")])
        spread = f" ± {r.std():.2f}" if r.count() > 1 else ""
        title = f"r = {r.mean():.2f}{spread}" if own[ACROSS].std() > EQUAL else "all alike"
        panel.set(title=f"{method}\n{title}", xlabel="cosine across SAEs", xlim=limits, ylim=limits, xticks=(0, 0.5, 1))
    axes[0].set_ylabel("cosine with a true feature")
    return figure, drawn


def uneven_initialisations(curves: pd.DataFrame, rules: Mapping[str, Reinitialise]) -> Figure:
    """The unevenness of activity over the first steps, a line an initialisation, a panel a method (paper, figure 6).

    SAEs of one seed have one colour. Methods that have a rule show its statistic, and its threshold as a dashed line: an SAE
    above it at a check starts anew.
    """
    curves = curves[curves["step"] <= UNEVEN_STEPS]
    methods = list(curves["method"].unique())
    figure, axes = panels(len(methods), share_y=True)
    for method, panel in zip(methods, axes):
        rule = rules.get(method)
        cubed = rule is not None and rule.statistic == "cubed"
        statistic = "unevenness_cubed" if cubed else "unevenness"
        for (seed, _), line in curves[curves["method"] == method].groupby(["seed", "sae"]):
            panel.plot(line["step"], line[statistic], linewidth=0.9, color=COLOURS[seed % len(COLOURS)])
        if rule:
            panel.axhline(rule.threshold, color="black", linewidth=0.8, linestyle="--")
        panel.set(title=f"{method} (cubed)" if cubed else method, xlabel="step")
        _logarithmic(panel)
    axes[0].set_ylabel("mean deviation of activity from k/h")
    return figure


def over_steps(curves: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Columns of `measures` over steps (logarithmic), a panel each under its label; bands span the seeds (paper, figure 8)."""
    figure, axes = panels(len(measures))
    methods = list(curves["method"].unique())
    for (measure, label), panel in zip(measures.items(), axes):
        for method, style in zip(methods, _styles(len(methods))):
            measured = curves[curves["method"] == method].dropna(subset=measure)
            if len(measured):
                _line_of_seeds(panel, measured, measure, style, method)
        panel.set_ylabel(label)
        _logarithmic_steps(panel)
    if curves[list(measures)].notna().any(axis=None):
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    else:
        axes[0].set_title("not measured: train.measure_every is null")
    return figure


def heat_maps(table: pd.DataFrame, metrics: Mapping[str, str], lower_is_better: Collection[str]) -> Figure:
    """The change of each of `metrics` (with its label) by α and learning rate: blue where it is for the better, with a star
    where its interval excludes 0.

    `table` has the columns metric, alpha, learning_rate, change, change_low, change_high and seeds.
    """
    figure, axes = panels(len(metrics), width=4.2, height=3.8)
    seeds = " or ".join(f"{n}" for n in sorted(table["seeds"].unique()))
    figure.suptitle(f"against its reference of the same rate, {seeds} seeds; * 95 % interval without 0", fontsize="medium")
    for (metric, label), panel in zip(metrics.items(), axes):
        here = table[table["metric"] == metric].pivot(
            index="alpha", columns="learning_rate", values=["change", "change_low", "change_high"]
        )
        change, certain = here["change"], (here["change_low"] > 0) | (here["change_high"] < 0)
        reach = float(np.nanmax(np.abs(change)))
        colours = "RdBu_r" if metric in lower_is_better else "RdBu"
        image = panel.imshow(change, cmap=colours, vmin=-reach, vmax=reach, origin="lower", aspect="auto")
        for (row, column), value in np.ndenumerate(change.to_numpy()):
            if not np.isnan(value):
                text = f"{value:+.1f}{'*' if certain.iat[row, column] else ''}"
                colour = "white" if abs(value) > 0.6 * reach else "black"
                panel.text(column, row, text, ha="center", va="center", color=colour)
        panel.set_xticks(range(change.shape[1]), [f"{rate:g}" for rate in change.columns])
        panel.set_yticks(range(change.shape[0]), [f"{alpha:g}" for alpha in change.index])
        panel.set(title=label, xlabel="learning rate", ylabel="α")
        panel.grid(visible=False)
        figure.colorbar(image, ax=panel)
    return figure


def _line_of_seeds(panel: Axes, curves: pd.DataFrame, measure: str, style: tuple[str, str], label: str) -> None:
    """The mean over SAEs and seeds at each step, and a band from the lowest to the highest seed."""
    seeds = curves.groupby(["step", "seed"])[measure].mean().unstack()
    colour, line = style
    panel.plot(seeds.index, seeds.mean(axis=1), color=colour, linestyle=line, label=label, linewidth=1.4)
    panel.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.25, linewidth=0)


def _logarithmic_steps(panel: Axes) -> None:
    panel.set(xlabel="step", xscale="log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _logarithmic(panel: Axes) -> None:
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    # Within a few decades, powers of ten alone would leave the axis with hardly a number.
    if high < 100 * low:
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if high < 5 * low else NullFormatter())


def panels(
    count: int, width: float = 3.2, height: float = 3.4, a_row: int = PANELS_A_ROW, share_y: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """An empty figure with so many panels, in even rows of at most `a_row`; a panel's width and height in inches."""
    rows = -(-count // a_row)
    columns = -(-count // rows)
    # The Figure class alone needs no display and keeps no global list of figures.
    figure = Figure(figsize=(width * columns + 2.4 * (count == 1), height * rows), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.subplots(rows, columns, sharey=share_y, squeeze=False).flatten()
    for unused in axes[count:]:
        unused.set_axis_off()
    for panel in axes[:count]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, list(axes[:count])


def _styles(count: int) -> list[tuple[str, str]]:
    """Colours and lines; the lines differ so that curves which coincide are both seen."""
    return [(colour, LINES[i % len(LINES)]) for i, colour in enumerate(colours_of(count))]


def colours_of(count: int) -> list[str]:
    """So many different colours, the same ones for the same place."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [matplotlib.colors.to_hex(matplotlib.colormaps["tab20"](i % 20)) for i in range(count)]
