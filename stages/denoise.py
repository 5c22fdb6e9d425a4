"""Add noise to held-out EEG windows and measure how much of it one ensemble removes."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mfr.compute.devices import limit_threads, resolve_device
from mfr.compute.seeds import numpy_stream
from mfr.config.eeg import Denoise, Eeg
from mfr.config.experiment import Execution, Params
from mfr.denoising import noise
from mfr.denoising.denoisers import (
    Reconstruct,
    pca,
    principal_components,
    reconstruction,
    scores,
    training_moments,
    wiener,
)
from mfr.denoising.records import COLUMNS, Denoising
from mfr.denoising.windows import read_windows, shape_of
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.saes.ensemble import Ensemble
from mfr.saes.files import check_size, read_saes
from mfr.saes.identity import check_card
from mfr.vectors.reader import Vectors
from stages.common import call, find_method, stage_parser

LEVELS_DB = (-5, 0, 5, 10)
# The linear references are fitted on at most REFERENCE_ROWS training vectors, in blocks spread over the file.
REFERENCE_ROWS, BLOCK_ROWS = 32_768, 256


@dataclass
class Files:
    """Files that the stage reads."""

    saes: Path
    card: Path
    train: Path
    heldout: Path


def run(files: Files, settings: Denoise, output: Path, execution: Execution) -> pd.DataFrame:
    """Write a record of how well each denoiser removes each noise at each strength, and return it as a table.

    The table has one row per noise, strength and denoiser. The denoisers are `nothing`, `wiener`, and for each k `sae`, and
    `pca` with k components. Raises `UserError` if the SAEs were trained on vectors of another size.
    """
    limit_threads(execution.threads)
    saes = read_saes(files.saes, files.card).to(resolve_device(execution.device))
    assert saes.card is not None
    with writing(output) as [part], Vectors(files.train) as train, Vectors(files.heldout) as heldout:
        for vectors in (heldout, train):
            check_size(vectors, saes, files.saes)
        table = pd.DataFrame(_rows(saes, train, heldout, settings), columns=COLUMNS)
        part.write_text(Denoising.of(table, saes.card.saes_sha256, heldout.identity()).text())
    return table


def _rows(saes: Ensemble, train: Vectors, heldout: Vectors, settings: Denoise) -> Iterator[tuple[str | int | float, ...]]:
    """Rows of the table."""
    shape = shape_of(heldout, settings.line_hz)
    windows = read_windows(heldout, chosen_rows(heldout.rows, settings))
    fitted = training_moments(_training_blocks(train))
    components = principal_components(fitted, min(max(saes.k), heldout.size))
    denoisers: list[tuple[str, int, Reconstruct]] = [("pca", k, pca(fitted, components[:k])) for k in sorted(set(saes.k))]
    denoisers += [("sae", k, reconstruction(saes, i)) for i, k in enumerate(saes.k)]
    for number, kind in enumerate(noise.KINDS):
        added = noise.draw(kind, len(windows.clean), shape, numpy_stream("noise", settings.seed, number))
        second = noise.covariance(kind, shape, numpy_stream("noise_examples", settings.seed, number))
        for level in LEVELS_DB:
            noisy = noise.add(windows.clean, added, level)
            linear = noisy.reshape(len(noisy), -1) @ wiener(fitted.scaled, second, level).T
            estimates = [("nothing", 0, noisy), ("wiener", 0, linear.reshape(noisy.shape))]
            estimates += [(name, k, windows.denoised(noisy, reconstruct)) for name, k, reconstruct in denoisers]
            for name, k, estimate in estimates:
                yield kind, level, name, k, *scores(windows.clean, noisy, estimate)


def chosen_rows(count: int, settings: Denoise) -> np.ndarray:
    """Rows that noise is added to, ascending: `windows` of them at random, or all if fewer."""
    chosen = numpy_stream("denoised_windows", settings.seed).permutation(count)[: settings.windows]
    return np.sort(chosen)


def _training_blocks(train: Vectors) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of training vectors (N, d), and of the same windows in microvolts (N, C, T)."""
    starts = np.arange(0, train.rows, BLOCK_ROWS)
    every = max(1, -(-len(starts) * BLOCK_ROWS // REFERENCE_ROWS))
    for start in starts[::every].tolist():
        rows = slice(start, min(start + BLOCK_ROWS, train.rows))
        yield train.read(rows.start, rows.stop).numpy(), read_windows(train, rows).clean


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    method, seed = arguments.method, arguments.seed
    section = params.section(Eeg)
    find_method(section, method)
    files = Files(
        paths.saes("eeg", method, seed),
        paths.saes_card("eeg", method, seed),
        paths.vectors("eeg", "train"),
        paths.vectors("eeg", "heldout"),
    )
    check_card(files.card, "eeg", section, method, seed)
    table = run(files, section.denoise, paths.denoising(method, seed), params.execution)
    gain = table.loc[table["denoiser"] == "sae", "snr_gain_db"]
    return f"gain {gain.min():.1f} to {gain.max():.1f} dB"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.denoise", __doc__, "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
