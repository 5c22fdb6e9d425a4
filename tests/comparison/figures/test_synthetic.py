import numpy as np
import pandas as pd

from mfr.comparison.figures import synthetic as figures
from mfr.config.training import Reinitialise


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


def test_an_undefined_r_is_said_to_be_so() -> None:
    latents = pd.DataFrame({"across_hungarian": [0.1, 0.9], "truth_hungarian": [0.5, 0.5], "method": "baseline", "seed": 0})
    assert figures.similarities(latents).axes[0].get_title() == "baseline\nr is undefined"
