"""What compare writes of EEG alone: table 3, the claims, denoising, and figures of signals and features."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch.nn.functional import normalize

from mfr import eeg_figures, noise
from mfr.claims_eeg import claims_eeg
from mfr.denoising import reconstruction
from mfr.eeg_vectors import read_windows, rows_in_turn, shape_of
from mfr.method import Method
from mfr.metrics import Evaluation
from mfr.sae_file import read_saes
from mfr.seeds import numpy_stream
from mfr.store import Vectors
from mfr.table3 import decoder_distances, table3
from stages.runs import Run, write_table

TABLES = ("recordings.csv", "table3.csv", "claims.csv", "denoising.csv")
FIGURES = ("decoder_distances.png", "denoising.png", "traces.png", "spectra.png", "patterns.png", "scalps.png")
# The windows of a recording, in the columns of its table.
WINDOWS = ("windows_kept", "windows_dropped", "flat", "clipped", "noisy", "across")
NAMES = (*TABLES, *FIGURES)
TRACE_WINDOWS, SPECTRUM_WINDOWS, DRAWN_NOISE_DB = 8, 200, 0
SHOWN_FEATURES, SHOWN_METHODS = 5, 2


@dataclass
class EegInputs:
    """What compare has of EEG alone: the table of preprocess_eeg, held-out vectors, and how well the methods denoise."""

    recordings: Path
    heldout: Path
    denoising: pd.DataFrame


def write(
    parts: Mapping[str, Path],
    runs: list[Run],
    evaluations: list[Evaluation],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    methods: Mapping[str, Method],
    eeg: EegInputs,
) -> None:
    """Write `parts`, a path for each of `NAMES`; `tables` are the long table and the summary of `mfr.comparison`."""
    values, summary = tables
    distances = decoder_distances(evaluations)
    write_table(table3(summary, distances), parts["table3.csv"], digits=4)
    write_table(claims_eeg(values, distances, methods), parts["claims.csv"])
    hidden = json.loads(runs[0].card.read_text())["train"]["hidden"]
    eeg_figures.decoder_distances(distances, hidden).savefig(parts["decoder_distances.png"])
    write_table(eeg.denoising, parts["denoising.csv"], digits=4)
    eeg_figures.denoising(eeg.denoising).savefig(parts["denoising.png"])
    _draw_signals(parts, runs[0], eeg.heldout)
    _draw_features(parts, runs, eeg.heldout)
    shutil.copyfile(eeg.recordings, parts["recordings.csv"])


def _draw_signals(parts: Mapping[str, Path], run: Run, heldout: Path) -> None:
    """One run's reconstructions of a stretch of the first held-out recording, and of the same with white noise."""
    saes = read_saes(run.saes, run.card)
    most = int(np.argmax(saes.k))
    with Vectors(heldout) as vectors:
        shape = shape_of(vectors)
        rows = rows_in_turn(vectors, shape, SPECTRUM_WINDOWS)
        windows, start_s = read_windows(vectors, rows), vectors.column("start_s", rows)
    noisy = noise.add(windows.clean, noise.draw("white", len(rows), shape, numpy_stream("drawn_noise")), DRAWN_NOISE_DB)
    signals = {
        f"with white noise at {DRAWN_NOISE_DB} dB": noisy,
        "input": windows.clean,
        f"reconstruction ({run.method}, k = {saes.k[most]})": windows.denoised(windows.clean, reconstruction(saes, most)),
        "reconstruction from noise": windows.denoised(noisy, reconstruction(saes, most)),
    }
    shown = {label: signal[:TRACE_WINDOWS] for label, signal in signals.items()}
    eeg_figures.traces(shown, start_s[:TRACE_WINDOWS], shape.channels, shape.rate_hz).savefig(parts["traces.png"])
    by_k = {f"k = {k}": windows.denoised(windows.clean, reconstruction(saes, i)) for i, k in enumerate(saes.k)}
    eeg_figures.spectra({"input": windows.clean} | by_k, shape.rate_hz).savefig(parts["spectra.png"])


def _draw_features(parts: Mapping[str, Path], runs: list[Run], heldout: Path) -> None:
    """The most used features of the first seed of the first methods, each in its SAE with the most active latents."""
    with Vectors(heldout) as vectors:
        shape = shape_of(vectors)
    features = {}
    for run in [run for run in runs if run.seed == runs[0].seed][:SHOWN_METHODS]:
        saes, table = read_saes(run.saes, run.card), pd.read_csv(run.features)
        most = int(np.argmax(saes.k))
        for latent in table[table["sae"] == most].nlargest(SHOWN_FEATURES, "frequency").itertuples():
            feature = normalize(saes.W[most, latent.latent], dim=0).view(len(shape.channels), shape.samples).numpy()
            features[f"{run.method} {latent.latent}\nin {latent.frequency:.0%} of windows"] = feature
    eeg_figures.patterns(features, shape.channels, shape.rate_hz).savefig(parts["patterns.png"])
    eeg_figures.scalps(features, shape.channels).savefig(parts["scalps.png"])


def recordings_tree(recordings: Path) -> dict[str, object]:
    """How many recordings were used and skipped, and why, and windows kept and dropped for each reason, for the metrics."""
    table = pd.read_csv(recordings, dtype={"reason": str})
    # What comes after the colon is about the one file.
    reasons = Counter(table.loc[table["status"] == "skipped", "reason"].str.split(":").str[0])
    used = int((table["status"] == "used").sum())
    windows = {name.removeprefix("windows_"): int(table[name].sum()) for name in WINDOWS}
    return {"used": used, "skipped": reasons.total(), "reasons": dict(reasons), "windows": windows}
