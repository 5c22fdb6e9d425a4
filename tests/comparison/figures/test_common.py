import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mfr.comparison.figures import common as figures
from mfr.config.training import Reinitialise


@pytest.fixture
def summary() -> pd.DataFrame:
    rows = [
        (m, g, "mse", i + 1.0 + (m == "mfr"), 0.1) for i, g in enumerate(("k4", "k8", "all_k")) for m in ("baseline", "mfr")
    ]
    return pd.DataFrame(rows, columns=["method", "group", "metric", "mean", "sd"])


def test_learning_curves_draw_each_k_and_method_on_a_logarithmic_scale() -> None:
    rows = [(k, m, s, t, 1 / t + s) for k in (4, 8) for m in ("baseline", "mfr") for s in (0, 1) for t in (1, 2, 3)]
    figure = figures.learning_curves(pd.DataFrame(rows, columns=["k", "method", "seed", "step", "mse"]))
    assert [panel.get_title() for panel in figure.axes] == ["k = 4", "k = 8"]
    for panel in figure.axes:
        assert panel.get_xscale() == panel.get_yscale() == "log"
        assert [line.get_label() for line in panel.lines] == ["baseline", "mfr"]
        assert np.allclose(panel.lines[0].get_ydata(), [1.5, 1.0, 1 / 3 + 0.5])


def test_bars_show_means_for_each_k_but_not_the_mean_over_all(summary: pd.DataFrame) -> None:
    panel = figures.bars(summary, "mse", "mean squared error").axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["k = 4", "k = 8"]
    assert sorted(patch.get_height() for patch in panel.patches) == [1, 2, 2, 3]
    assert panel.get_yscale() == "linear" and panel.get_ylim()[0] == 0
    widely = summary.assign(mean=summary["mean"] ** 2)
    assert figures.bars(widely, "mse", "mean squared error").axes[0].get_yscale() == "log"


def test_densities_are_shares_of_all_latents_and_the_dead_are_counted() -> None:
    frequency = {"baseline": [0.0, 0.0, 0.01, 0.011, 0.5], "mfr": [0.001, 0.01, 0.1, 0.1, 1.0], "none": [0.0] * 5}
    rows = [(k, m, f) for k in (4, 8) for m, frequencies in frequency.items() for f in frequencies]
    figure = figures.densities(pd.DataFrame(rows, columns=["k", "method", "frequency"]))
    assert [panel.get_title() for panel in figure.axes] == ["k = 4", "k = 8"]
    panel = figure.axes[1]
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert sorted(labels) == ["baseline, 40.0 % dead", "mfr, 0.0 % dead", "none, 100.0 % dead"]
    heights = {outline.get_label().split(",")[0]: outline.get_xy() for outline in panel.patches}
    assert heights["mfr"][:, 1].max() == pytest.approx(0.4) and heights["none"][:, 1].max() == 0
    peak = heights["baseline"][heights["baseline"][:, 1].argmax()]
    assert peak[0] == pytest.approx(-2, abs=0.13) and peak[1] == pytest.approx(0.4)
    figures.densities(pd.DataFrame(rows, columns=["k", "method", "frequency"]).query("method == 'none'"))


def test_similarities_draw_a_panel_a_method_with_r() -> None:
    random = np.random.default_rng(0)
    methods, seeds = ["baseline"] * 20 + ["mfr"] * 20, [0, 1] * 20
    across, truth = random.random((2, 40))
    latents = pd.DataFrame({"across_hungarian": across, "truth_hungarian": truth, "method": methods, "seed": seeds})
    figure = figures.similarities(latents)
    r = np.array([np.corrcoef(across[seed:20:2], truth[seed:20:2])[0, 1] for seed in (0, 1)])
    assert figure.axes[0].get_title() == f"baseline\nr = {r.mean():.2f} ± {r.std(ddof=1):.2f}"
    assert len(figure.axes) == 2 and len(figure.axes[1].collections[0].get_offsets()) == 20
    alike = latents.assign(across_hungarian=1 - across / 1000)
    assert figures.similarities(alike).axes[0].get_title() == "baseline\nall alike"


def test_many_methods_have_colours_of_their_own(summary: pd.DataFrame) -> None:
    many = pd.concat([summary[summary["method"] == "mfr"].assign(method=f"m{i}") for i in range(9)])
    panel = figures.bars(many, "mse", "mse").axes[0]
    assert len({patch.get_facecolor() for patch in panel.patches}) == 9


def test_the_legend_of_many_methods_is_inside_the_figure(summary: pd.DataFrame) -> None:
    many = pd.concat([summary[summary["method"] == "mfr"].assign(method=f"a_method_of_a_long_name_{i}") for i in range(20)])
    figure = figures.bars(many, "mse", "mse")
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert len(legend.get_texts()) == 20 and figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1)
    assert box.x0 > figure.axes[0].get_window_extent().x1


def test_activity_is_coloured_on_one_logarithmic_scale() -> None:
    frequency = np.array([0, 1e-4, 1e-2, 1e-1] * 2)
    cosines = {"across_hungarian": [0.5, 0.6, 0.7, 0.7] * 2, "truth_hungarian": [0.5, 0.6, 0.7, 0.7] * 2}
    columns = {**cosines, "frequency": frequency, "method": ["baseline"] * 4 + ["mfr"] * 4, "seed": 0}
    figure = figures.activity(pd.DataFrame(columns))
    assert figure.axes[0].get_title() == "baseline\nr = 1.00"
    dots, never = zip(*(panel.collections for panel in figure.axes[:2]))
    assert all((each.norm.vmin, each.norm.vmax) == (1e-4, 1e-1) for each in dots)
    assert sorted(dots[0].get_array()) == [1e-4, 1e-2, 1e-1]
    assert [each.get_offsets().tolist() for each in never] == [[[0.5, 0.5]]] * 2


def curves(measured: bool) -> pd.DataFrame:
    rows = [
        (m, s, sae, t, s + t / 10 + sae, 7.0, s + t / 10 if measured else np.nan)
        for m in ("baseline", "mfr")
        for s in (0, 1)
        for sae in (0, 1)
        for t in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "sae", "step", "unevenness", "unevenness_cubed", "across"])


def test_uneven_initialisations_have_a_line_each() -> None:
    for statistic, drawn in (("absolute", [1.1, 1.2, 1.3]), ("cubed", [7, 7, 7])):
        figure = figures.uneven_initialisations(curves(True), {"mfr": Reinitialise(statistic=statistic, threshold=1.5)})
        assert [len(panel.lines) for panel in figure.axes] == [4, 5]
        assert np.allclose(figure.axes[0].lines[1].get_ydata(), [1.1, 1.2, 1.3])
        assert np.allclose(figure.axes[1].lines[1].get_ydata(), drawn)
        assert set(figure.axes[1].lines[4].get_ydata()) == {1.5}


def test_measures_over_steps_are_means_over_seeds_or_said_to_be_missing() -> None:
    panel = figures.over_steps(curves(True), {"across": "cosine"}).axes[0]
    assert [line.get_label() for line in panel.lines] == ["baseline", "mfr"]
    assert np.allclose(panel.lines[0].get_ydata(), [0.6, 0.7, 0.8])
    assert "measure_every is null" in figures.over_steps(curves(False), {"across": "cosine"}).axes[0].get_title()


def test_panels_go_on_in_another_row() -> None:
    many = pd.concat([curves(True)[lambda table: table["method"] == "mfr"].assign(method=f"m{i}") for i in range(7)])
    drawn = [panel for panel in figures.uneven_initialisations(many, {}).axes if panel.axison]
    assert len(drawn) == 7 and len({round(panel.get_position().y0, 2) for panel in drawn}) == 2
