from pathlib import Path

import pandas as pd
import pytest

from mfr.comparison.figures import synthetic as figures
from mfr.comparison.summary import LOWER_IS_BETTER
from mfr.config.load import load
from mfr.config.synthetic import Synthetic
from mfr.config.training import Method, Penalty
from mfr.runtime.errors import UserError
from tests.conftest import ROOT
from workflow import map as map_of_gains
from workflow.experiment import compose

METRIC = "truth_recovered"


def method(alpha: float | str, **rest: object) -> Method:
    return Method(penalty=Penalty(matching="hungarian", alpha=alpha, alpha_factor=2.0), **rest)


METHODS = {
    "baseline": Method(),
    "slow_baseline": Method(learning_rate=0.001),
    "slow": method(0.5, learning_rate=0.001),
    "weak": method(0.5),
    "strong": method(1.5),
    "automatic": method("balanced"),
}
VERSUS = {"slow": "slow_baseline"}


def summary() -> pd.DataFrame:
    rows = [
        (name, group, METRIC, 0.001 * i, -0.01, 0.02) for i, name in enumerate(METHODS) for group in ("k3", "all_k", "ensemble")
    ]
    table = pd.DataFrame(rows, columns=["method", "group", "metric", "change", "change_low", "change_high"])
    table.loc[table["method"] == "strong", "change_low"] = 0.002
    return table.assign(seeds=2, change_unit="difference")


def test_methods_of_fixed_alpha_are_placed_by_alpha_and_rate() -> None:
    table = map_of_gains.alpha_by_rate(summary(), METHODS, VERSUS, usual_rate=0.01)
    assert table[["alpha", "learning_rate"]].values.tolist() == [[1.0, 0.001], [1.0, 0.01], [3.0, 0.01]]
    assert table["change"].tolist() == pytest.approx([0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"other": method(1.5)}, "strong and other both have α 3 and learning rate 0.01"),
        (
            {"other": method(1.5, learning_rate=0.001)},
            "other is set against baseline, which has another learning rate; name a method of 0.001",
        ),
    ],
)
def test_methods_without_a_place_of_their_own_are_named(added: dict[str, Method], message: str) -> None:
    with pytest.raises(UserError, match=message):
        map_of_gains.alpha_by_rate(summary(), METHODS | added, VERSUS, usual_rate=0.01)


def test_cells_say_the_change_and_whether_it_is_certain() -> None:
    table = map_of_gains.alpha_by_rate(summary(), METHODS, VERSUS, usual_rate=0.01)
    figure = figures.heat_maps(table, {METRIC: "share"}, LOWER_IS_BETTER)
    panel = figure.axes[0]
    assert "2 seeds" in figure.get_suptitle()
    assert [text.get_text() for text in panel.texts] == ["+0.2", "+0.3", "+0.4*"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["1", "3"]


def test_what_is_better_is_blue() -> None:
    table = map_of_gains.alpha_by_rate(summary(), METHODS, VERSUS, usual_rate=0.01)
    of_share, of_loss = (
        figures.heat_maps(table.assign(metric=metric), {metric: metric}, LOWER_IS_BETTER).axes[0].images[0].cmap
        for metric in (METRIC, "mse")
    )
    (red, _, blue), (of_less, _, of_more) = of_share(1.0)[:3], of_loss(1.0)[:3]
    assert blue > red and of_more < of_less


@pytest.mark.parametrize("name", ["map_one_group_k36", "map_every_group_k3"])
def test_the_parameters_of_the_map_make_a_table_and_a_figure(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(compose(name, ROOT / "params"))
    section = load(Path("params.yaml")).section(Synthetic)
    rows = [(name, "k36", metric, 0.1, -1.0, 2.0, 3) for name in section.methods for metric in map_of_gains.METRICS]
    columns = ["method", "group", "metric", "change", "change_low", "change_high", "seeds"]
    folder = tmp_path / "results" / "synthetic"
    folder.mkdir(parents=True)
    table = pd.DataFrame(rows, columns=columns)
    table["change_unit"] = table["metric"].map({"truth_recovered": "difference", "mse": "percent"})
    table.to_csv(folder / "summary.csv", index=False)
    assert map_of_gains.main([]) == 0
    table = pd.read_csv("results/map/map.csv")
    assert len(table) == 2 * table["alpha"].nunique() * table["learning_rate"].nunique() == 18
    assert {each.name for each in Path("results/map").iterdir()} == {"map.csv", "map.png"}


def test_parameters_that_make_no_map_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seeds: [0]\n")
    assert map_of_gains.main([]) == 1
    assert capsys.readouterr().err.startswith("error: params.yaml")


def test_the_seeds_of_a_map_are_those_that_both_methods_have() -> None:
    table = map_of_gains.alpha_by_rate(summary().assign(pairs=1), METHODS, VERSUS, usual_rate=0.01)
    assert set(table["seeds"]) == {1}
    assert ", 1 seed;" in figures.heat_maps(table, {METRIC: "share"}, LOWER_IS_BETTER).get_suptitle()
