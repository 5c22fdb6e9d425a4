"""Figures of synthetic vectors: true features, unevenness, curves and parameter maps."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mfr.comparison.figures.common import COLOURS, line_of_seeds, logarithmic, logarithmic_steps, panels, styles
from mfr.config.training import Reinitialise
from mfr.runtime.wording import counted

UNEVEN_STEPS = 100
ACROSS, TRUTH = "across_hungarian", "truth_hungarian"
DOTS = COLOURS[2]
NEVER_ACTIVE = "#d62728"
EQUAL = 0.01  # if cosines across SAEs have a smaller sd, r means nothing


def similarities(latents: pd.DataFrame) -> Figure:
    """Similarity to true features against similarity across SAEs (paper, figures 2 and 3).

    One dot per latent, one panel per method. `latents` holds the tables of all runs with a column `method`. Pairs are one to
    one; r is Pearson's, mean ± standard deviation over seeds.
    """
    figure, drawn = _similarity_panels(latents)
    for panel, own in drawn:
        panel.scatter(ACROSS, TRUTH, data=own, s=6, color=DOTS, alpha=0.5, linewidths=0)
    return figure


def activity(latents: pd.DataFrame) -> Figure:
    """`similarities`, coloured by firing frequency (paper, figures 4 and 5).

    Dead latents have a colour of their own.
    """
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
    """A figure with an empty panel for each method, and each panel with its method's latents."""
    methods = list(latents["method"].unique())
    figure, axes = panels(len(methods), share_y=True)
    limits = (min(latents[[ACROSS, TRUTH]].min(axis=None), 0) - 0.03, 1.03)  # one-to-one pairs may include negative cosines
    drawn = [(panel, latents[latents["method"] == method]) for method, panel in zip(methods, axes)]
    for method, (panel, own) in zip(methods, drawn):
        r = pd.Series([seed[ACROSS].corr(seed[TRUTH]) for _, seed in own.groupby("seed")])
        spread = f" ± {r.std():.2f}" if r.count() > 1 else ""
        found = f"r = {r.mean():.2f}{spread}" if r.count() else "r is undefined"
        title = found if own[ACROSS].std() > EQUAL else "all alike"
        panel.set(title=f"{method}\n{title}", xlabel="cosine across SAEs", xlim=limits, ylim=limits, xticks=(0, 0.5, 1))
    axes[0].set_ylabel("cosine with a true feature")
    return figure, drawn


def uneven_initialisations(curves: pd.DataFrame, rules: Mapping[str, Reinitialise]) -> Figure:
    """Unevenness of firing over the first steps (paper, figure 6).

    One line per initialisation, one panel per method; SAEs of one seed share a colour. A method with a rule shows the rule's
    statistic, and its threshold as a dashed line: an SAE above it at a check is reinitialised.
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
        logarithmic(panel)
    axes[0].set_ylabel("mean deviation of activity from k/h")
    return figure


def over_steps(curves: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Measures over steps on a logarithmic axis, one panel each (paper, figure 8).

    `measures` maps columns of `curves` to labels. Bands span the seeds.
    """
    figure, axes = panels(len(measures))
    methods = list(curves["method"].unique())
    for (measure, label), panel in zip(measures.items(), axes):
        for method, style in zip(methods, styles(len(methods))):
            measured = curves[curves["method"] == method].dropna(subset=measure)
            if len(measured):
                line_of_seeds(panel, measured, measure, style, method)
        panel.set_ylabel(label)
        logarithmic_steps(panel)
    if curves[list(measures)].notna().any(axis=None):
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    else:
        axes[0].set_title("not measured: train.measure_every is null")
    return figure


def heat_maps(table: pd.DataFrame, metrics: Mapping[str, str], lower_is_better: Collection[str]) -> Figure:
    """Maps of the change of each metric over α and learning rate, one panel each.

    `metrics` maps metrics to labels. A change for the better is blue, and a star marks an interval that excludes 0. `table` has
    the columns metric, alpha, learning_rate, change, change_low, change_high and seeds.
    """
    figure, axes = panels(len(metrics), width=4.2, height=3.8)
    *fewer, most = sorted(table["seeds"].unique())
    seeds = " or ".join([*map(str, fewer), counted(most, "seed")])
    figure.suptitle(f"against its reference of the same rate, {seeds}; * 95 % interval without 0", fontsize="medium")
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
