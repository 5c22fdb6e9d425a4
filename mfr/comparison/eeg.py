"""What only EEG reports: table 3, claims, denoising, and figures of signals and features."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from torch.nn.functional import normalize

from mfr.comparison.claims.eeg import claims
from mfr.comparison.figures import eeg as eeg_figures
from mfr.comparison.intervals import contest, student
from mfr.comparison.report import Numbers
from mfr.comparison.runs import Run, Runs
from mfr.comparison.tables import decoder_distances, table3, write_table
from mfr.compute.seeds import numpy_stream
from mfr.denoising import noise
from mfr.denoising.denoisers import Scores, reconstruction
from mfr.denoising.records import read_denoising
from mfr.denoising.windows import read_windows, rows_in_turn, shape_of
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.records import check
from mfr.vectors.reader import Vectors

TRACE_WINDOWS, SPECTRUM_WINDOWS, DRAWN_NOISE_DB = 8, 200, 0
SHOWN_FEATURES, SHOWN_METHODS = 5, 2
KEYS = ["noise", "snr_db", "denoiser", "k"]


def write(runs: Runs, folder: Path) -> None:
    """Write table 3, claims, denoising, recordings, and figures of signals and features."""
    distances = decoder_distances(runs.evaluations)
    write_table(table3(runs.summary, distances), folder / "table3.csv", digits=4)
    write_table(claims(runs.values, distances, runs.section.methods), folder / "claims.csv")
    eeg_figures.decoder_distances(distances, runs.runs[0].card().train.hidden).savefig(folder / "decoder_distances.png")
    denoising = runs.once(_denoising)
    write_table(denoising, folder / "denoising.csv", digits=4)
    eeg_figures.denoising(denoising).savefig(folder / "denoising.png")
    with Vectors(paths.vectors(runs.source, "heldout")) as heldout:
        _draw_signals(folder, runs.runs[0], heldout)
        _draw_features(folder, runs.runs, heldout)
        _check_recordings(heldout)
    shutil.copyfile(paths.RECORDINGS_TABLE, folder / "recordings.csv")


def numbers(runs: Runs) -> Numbers:
    """Number of recordings used and skipped, and each method's denoising gain in dB.

    The gain is a mean over kinds of noise, noise levels and k.
    """
    with Vectors(paths.vectors(runs.source, "heldout")) as heldout:
        _check_recordings(heldout)
    status = pd.read_csv(paths.RECORDINGS_TABLE)["status"]
    gains = runs.once(_denoising).groupby("denoiser")["snr_gain_db"].mean()
    by_method = {method: {"gain_db": float(gains[method])} for method in runs.methods}
    counts = {f"recordings_{name}": int((status == name).sum()) for name in ("used", "skipped")}
    return Numbers(by_method, counts)


def _denoising(runs: Runs) -> pd.DataFrame:
    return denoising_table(runs.labelled(_denoising_of))


def _denoising_of(run: Run) -> pd.DataFrame:
    path = run.path(lambda _, method, seed: paths.denoising(method, seed))
    found = read_denoising(path)
    run.check_measured(found.saes_sha256, path, "denoise")
    if found.heldout_sha256 != run.evaluation().heldout_sha256:
        raise UserError(f"{path}: of other held-out vectors than {run.path(paths.evaluation)}; run denoise again")
    return found.table()


def _check_recordings(heldout: Vectors) -> None:
    """Raise `UserError` if the table of recordings is not the one written with these vectors."""
    check(paths.RECORDINGS_TABLE, heldout.fact("recordings_sha256"), heldout.path, "preprocess_eeg")


def _draw_signals(folder: Path, run: Run, heldout: Vectors) -> None:
    """Draw a stretch of the first held-out recording and its reconstructions.

    Traces show the SAE with the largest k, given the input itself and the input with white noise. Spectra show the SAEs of
    all k, given the input itself.
    """
    saes, shape = run.read(), shape_of(heldout)
    most = int(np.argmax(saes.k))
    rows = rows_in_turn(heldout, shape, SPECTRUM_WINDOWS)
    windows, start_s = read_windows(heldout, rows), heldout.column("start_s", rows)
    noisy = noise.add(windows.clean, noise.draw("white", len(rows), shape, numpy_stream("drawn_noise")), DRAWN_NOISE_DB)
    signals = {
        f"with white noise at {DRAWN_NOISE_DB} dB": noisy,
        "input": windows.clean,
        f"reconstruction ({run.method}, k = {saes.k[most]})": windows.denoised(windows.clean, reconstruction(saes, most)),
        "reconstruction from noise": windows.denoised(noisy, reconstruction(saes, most)),
    }
    shown = {label: signal[:TRACE_WINDOWS] for label, signal in signals.items()}
    eeg_figures.traces(shown, start_s[:TRACE_WINDOWS], shape.channels, shape.rate_hz).savefig(folder / "traces.png")
    by_k = {f"k = {k}": windows.denoised(windows.clean, reconstruction(saes, i)) for i, k in enumerate(saes.k)}
    eeg_figures.spectra({"input": windows.clean} | by_k, shape.rate_hz).savefig(folder / "spectra.png")


def _draw_features(folder: Path, runs: list[Run], heldout: Vectors) -> None:
    """Draw the most frequently active features of the first methods over time and scalp.

    They are those of the first seed's SAE with the largest k.
    """
    shape = shape_of(heldout)
    features = {}
    for run in [run for run in runs if run.seed == runs[0].seed][:SHOWN_METHODS]:
        saes, table = run.read(), run.latents()
        most = int(np.argmax(saes.k))
        for latent in table[table["sae"] == most].nlargest(SHOWN_FEATURES, "frequency").itertuples():
            feature = normalize(saes.W[most, latent.latent], dim=0).view(len(shape.channels), shape.samples).numpy()
            features[f"{run.method} {latent.latent}\nin {latent.frequency:.0%} of windows"] = feature
    eeg_figures.patterns(features, shape.channels, shape.rate_hz).savefig(folder / "patterns.png")
    eeg_figures.scalps(features, shape.channels).savefig(folder / "scalps.png")


def denoising_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Denoising scores over seeds: one row per kind of noise, noise level, denoiser and k.

    `runs` concatenates the tables of stage denoise, with columns method and seed. Denoisers are `nothing`, `wiener` and `pca`,
    which are the same in every run, and the methods.

    Columns: `KEYS`; the `Scores`, as means over seeds; sd, low, high and n of the gain; over_pca_db, the gain minus that of PCA
    with k components, with its interval; and verdict, `better` or `worse` if that whole interval is, else `undecided`.
    """
    references = runs[runs["denoiser"] != "sae"].drop_duplicates(KEYS)
    saes = runs[runs["denoiser"] == "sae"].assign(denoiser=runs["method"])
    by_seed = saes.groupby([*KEYS, "seed"], sort=False, as_index=False)[list(Scores._fields)].mean()
    return pd.concat([references[[*KEYS, *Scores._fields]], _over_seeds(by_seed, references)], ignore_index=True)


def _over_seeds(by_seed: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """The rows of the methods, from their scores by seed and the scores of the other denoisers."""
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
