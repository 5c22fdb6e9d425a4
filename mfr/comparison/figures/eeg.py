"""Figures of EEG: decoder distances, denoising, signals, spectra and features."""

from collections.abc import Mapping, Sequence
from itertools import product

import mne
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.signal import periodogram

from mfr.comparison.figures.common import colours_of, panels
from mfr.sources.eeg.electrodes import directions, flattened

TRACES = 4
LINES = (("#bbbbbb", 0.8), ("#222222", 1.6), ("#d95f02", 1.1), ("#1b6ca8", 1.1))
LEAST_PLACES = 4


def decoder_distances(distances: pd.DataFrame, hidden: int) -> Figure:
    """L2 distance of each decoder from that of the smallest k, over k (paper, figure 10).

    One panel compares decoders row by row, the other by one-to-one pairs. `distances` is the result of
    `mfr.comparison.tables.decoder_distances`. Bands span the seeds. The dotted line is the distance of two independent
    dictionaries of `hidden` features of unit length.
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


def denoising(table: pd.DataFrame) -> Figure:
    """Denoising gain over noise level, one panel per method (rows) and noise (columns).

    `table` is the result of `mfr.comparison.eeg.denoising_table`. One colour per k. Solid lines are SAEs with their
    intervals, dashed lines PCA with k components; the dotted line is the Wiener filter.
    """
    kinds = list(table["noise"].unique())
    methods = [name for name in table["denoiser"].unique() if name not in ("nothing", "pca", "wiener")]
    ks = sorted(table.loc[table["denoiser"] == "pca", "k"].unique())
    figure, axes = panels(len(kinds) * len(methods), a_row=len(kinds))
    for panel, (method, kind) in zip(axes, product(methods, kinds), strict=True):
        here = table[table["noise"] == kind]
        for k, colour in zip(ks, colours_of(len(ks)), strict=True):
            sae, pca = (here[(here["denoiser"] == name) & (here["k"] == k)] for name in (method, "pca"))
            panel.plot(sae["snr_db"], sae["snr_gain_db"], color=colour, linewidth=1.4, marker="o", markersize=3, label=f"k={k}")
            panel.fill_between(sae["snr_db"], sae["low"], sae["high"], color=colour, alpha=0.2, linewidth=0)
            panel.plot(pca["snr_db"], pca["snr_gain_db"], color=colour, linewidth=1, linestyle="--", label=f"PCA of {k}")
        best = here[here["denoiser"] == "wiener"]
        panel.plot(best["snr_db"], best["snr_gain_db"], color="black", linewidth=1, linestyle=":", label="Wiener")
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set(title=f"{method}: {kind}", xlabel="SNR before (dB)")
    axes[0].set_ylabel("gain (dB)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def traces(signals: Mapping[str, np.ndarray], start_s: np.ndarray, channels: Sequence[str], rate_hz: float) -> Figure:
    """Signals over time, one panel for each of up to four channels.

    `signals` maps labels to windows (N, C, T) in µV, which begin at `start_s` (N) in seconds.
    """
    shown = np.linspace(0, len(channels) - 1, min(TRACES, len(channels))).round().astype(int)
    figure, axes = panels(len(shown), width=9, height=1.7, a_row=1)
    for panel, channel in zip(axes, shown, strict=True):
        for (label, windows), (colour, width) in zip(signals.items(), LINES, strict=False):
            for i, (start, window) in enumerate(zip(start_s, windows[:, channel], strict=True)):
                times = start + np.arange(len(window)) / rate_hz
                panel.plot(times, window, color=colour, linewidth=width, label=label if i == 0 else None)
        panel.set(ylabel=f"{channels[channel]} (µV)")
    axes[0].legend(fontsize="small", ncols=len(signals), loc="lower left", bbox_to_anchor=(0, 1))
    axes[-1].set_xlabel("time in the recording (s)")
    return figure


def spectra(signals: Mapping[str, np.ndarray], rate_hz: float) -> Figure:
    """Power spectral density (PSD) of each signal, a mean over windows and channels.

    `signals` maps labels to windows (N, C, T) in µV.
    """
    figure, (panel,) = panels(1, width=6)
    for (label, windows), colour in zip(signals.items(), colours_of(len(signals)), strict=True):
        frequencies, power = periodogram(windows, rate_hz, window="hann", detrend=False)
        panel.plot(frequencies[1:], power.mean(axis=(0, 1))[1:], color=colour, label=label, linewidth=1.4)
    panel.set(xlabel="frequency (Hz)", ylabel="power spectral density (µV²/Hz)", yscale="log")
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def patterns(features: Mapping[str, np.ndarray], channels: Sequence[str], rate_hz: float) -> Figure:
    """Each feature over channels and time in its own panel; colours are symmetric about 0.

    `features` maps titles to features (C, T).
    """
    figure, axes = panels(len(features), width=2.6, height=max(3.4, 0.15 * len(channels)), share_y=True)
    for panel, (title, feature) in zip(axes, features.items(), strict=True):
        reach = float(np.abs(feature).max())
        extent = (0, 1000 * feature.shape[1] / rate_hz, len(channels) - 0.5, -0.5)
        panel.imshow(feature, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", extent=extent, interpolation="none")
        panel.set_title(title, fontsize="small")
        panel.set(xlabel="time (ms)", yticks=range(len(channels)), yticklabels=channels)
        panel.tick_params("y", labelsize="x-small")
        panel.grid(visible=False)
    return figure


def scalps(features: Mapping[str, np.ndarray], channels: Sequence[str]) -> Figure:
    """Each feature over the scalp at the time when it is strongest, in a panel of its own.

    `features` maps titles to features (C, T). Electrodes of unknown position are omitted; a map needs at least four known ones.
    """
    places = directions(channels)
    known = ~np.isnan(places[:, 0])
    figure, axes = panels(len(features), width=2.2, height=2.4)
    for panel, (title, feature) in zip(axes, features.items(), strict=True):
        panel.set_title(title, fontsize="small")
        if known.sum() < LEAST_PLACES:
            panel.set_axis_off()
            panel.text(0.5, 0.5, "places of electrodes unknown", ha="center", transform=panel.transAxes, fontsize="x-small")
            continue
        strongest = feature[:, np.square(feature).sum(axis=0).argmax()]
        reach = float(np.abs(strongest).max())
        mne.viz.plot_topomap(
            strongest[known], flattened(places[known]), axes=panel, show=False, cmap="RdBu_r", vlim=(-reach, reach), contours=0
        )
    return figure
