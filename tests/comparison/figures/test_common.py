import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mfr.comparison.figures import common as figures


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


def test_bars_of_one_seed_claim_no_spread(summary: pd.DataFrame) -> None:
    titles = [
        figures.bars(table, "mse", "mse").legends[0].get_title().get_text() for table in (summary, summary.assign(sd=np.nan))
    ]
    assert titles == ["mean ± sd over seeds", "one seed"]


def test_a_method_without_one_of_the_k_leaves_a_gap(summary: pd.DataFrame) -> None:
    lacking = summary[(summary["method"] != "mfr") | (summary["group"] != "k8")]
    heights = [patch.get_height() for patch in figures.bars(lacking, "mse", "mse").axes[0].patches]
    assert heights[:3] == [1, 2, 2] and np.isnan(heights[3])
