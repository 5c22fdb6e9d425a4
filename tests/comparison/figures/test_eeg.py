from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from mfr.comparison.eeg import denoising_table
from mfr.comparison.figures import eeg as eeg_figures
from mfr.denoising.windows import read_windows, rows_in_turn, shape_of
from mfr.sources.eeg.electrodes import directions, flattened
from mfr.sources.eeg.simulation import SCALP
from mfr.vectors.reader import Vectors
from tests.comparison.test_tables_denoising import runs
from tests.support import eeg_files

ELECTRODES = list(SCALP)


@pytest.fixture
def windows() -> np.ndarray:
    times = np.arange(64) / 128
    return np.sin(2 * np.pi * 20 * times) * np.array([1.0, 2.0])[:, None] + np.zeros((5, 1, 1))


def test_spectra_show_a_wave_where_it_is(windows: np.ndarray) -> None:
    panel = eeg_figures.spectra({"input": windows, "half": windows / 2}, 128.0).axes[0]
    for line, power in zip(panel.lines, (2.5, 2.5 / 4), strict=True):
        frequencies, density = line.get_data()
        assert frequencies[density.argmax()] == 20 and density.sum() * 2 == pytest.approx(power / 2, rel=1e-6)


def test_traces_are_the_windows_in_microvolts_at_their_times(windows: np.ndarray) -> None:
    figure = eeg_figures.traces({"input": windows, "noisy": windows + 1}, np.arange(5) * 0.5 + 3, ["C3", "C4"], 128.0)
    assert [panel.get_ylabel() for panel in figure.axes] == ["C3 (µV)", "C4 (µV)"]
    lines = figure.axes[1].lines
    assert len(lines) == 10 and lines[1].get_xdata()[0] == 3.5 and np.allclose(lines[7].get_ydata(), windows[2, 1] + 1)


def test_patterns_are_the_features_by_channel_and_time() -> None:
    feature = np.random.default_rng(0).normal(size=(3, 10))
    figure = eeg_figures.patterns({"one": feature, "two": 5 * feature}, ["C3", "C4", "O1"], 100.0)
    image = figure.axes[1].images[0]
    assert np.array_equal(image.get_array(), 5 * feature) and -image.norm.vmin == image.norm.vmax == 5 * np.abs(feature).max()
    assert list(image.get_extent()[:2]) == [0, 100]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["C3", "C4", "O1"]


def test_maps_of_the_scalp_have_the_nose_at_the_top() -> None:
    places = dict(zip(ELECTRODES, flattened(directions(ELECTRODES)), strict=True))
    assert places["FP1"][1] > 0.08 and places["O2"][1] < -0.08 and places["T4"][0] > 0.08 and abs(places["CZ"]).max() < 0.01
    feature = np.outer(directions(ELECTRODES)[:, 1], [0.1, 1.0, -0.2])
    image = eeg_figures.scalps({"front": feature}, ELECTRODES).axes[0].images[0].get_array()
    rows = np.nanmean(np.ma.filled(image, np.nan), axis=1)
    assert rows[-10] > 0.5 and rows[10] < -0.5
    assert not pyplot.get_fignums()
    assert "unknown" in eeg_figures.scalps({"front": feature[:2]}, ["E1", "E2"]).axes[0].texts[0].get_text()


def test_decoder_distances_have_the_line_of_independent_rows() -> None:
    rows = [(m, s, k, 5.0 + k + s, 4.0 - s) for m in ("baseline", "mfr") for s in (0, 1) for k in (8, 12)]
    figure = eeg_figures.decoder_distances(pd.DataFrame(rows, columns=["method", "seed", "k", "l2", "l2_matched"]), 32)
    means, line = figure.axes[0].lines[0], figure.axes[0].lines[-1]
    assert means.get_ydata().tolist() == [13.5, 17.5] and line.get_ydata()[0] == 8


def test_denoising_has_a_panel_for_each_kind_and_method() -> None:
    table = denoising_table(pd.concat([runs(), runs().assign(noise="white")], ignore_index=True))
    figure = eeg_figures.denoising(table)
    assert [panel.get_title() for panel in figure.axes] == ["baseline: blink", "baseline: white", "mfr: blink", "mfr: white"]
    heights = [line.get_ydata()[0] for line in figure.axes[3].lines]
    assert heights == pytest.approx([4.1, 3.0, 9.0, 0.0])


def test_rows_in_turn_do_not_overlap_and_are_of_one_recording(tmp_path: Path) -> None:
    expected = eeg_files.write(tmp_path / "vectors.h5", 30, seed=0)
    with Vectors(tmp_path / "vectors.h5") as vectors:
        shape = shape_of(vectors)
        assert rows_in_turn(vectors, shape, 5).tolist() == [0, 2, 4, 6, 8]
        assert rows_in_turn(vectors, shape, 99).tolist() == list(range(0, 15, 2))
        np.testing.assert_allclose(read_windows(vectors, np.array([3, 17])).clean, expected[[3, 17]], atol=1e-3)
