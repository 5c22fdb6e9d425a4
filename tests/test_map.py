import pandas as pd
import pytest

from mfr import figures
from mfr.method import Method, Penalty
from workflow import map as map_of_gains

METRIC = "truth_recovered"


def method(alpha: float | str, **rest: object) -> Method:
    return Method(penalty=Penalty(matching="hungarian", alpha=alpha, alpha_factor=2.0), **rest)


METHODS = {
    "baseline": Method(),
    "slow": method(0.5, learning_rate=0.001),
    "weak": method(0.5),
    "strong": method(1.5),
    "automatic": method("balanced"),
}


def summary() -> pd.DataFrame:
    rows = [
        (name, group, METRIC, 0.1 * i, -1.0, 2.0) for i, name in enumerate(METHODS) for group in ("k3", "all_k", "ensemble")
    ]
    table = pd.DataFrame(rows, columns=["method", "group", "metric", "change", "change_low", "change_high"])
    table.loc[table["method"] == "strong", "change_low"] = 0.2
    return table.assign(seeds=2)


def test_methods_of_fixed_alpha_are_placed_by_alpha_and_rate() -> None:
    table = map_of_gains.alpha_by_rate(summary(), METHODS, usual_rate=0.01)
    assert table[["alpha", "learning_rate"]].values.tolist() == [[1.0, 0.001], [1.0, 0.01], [3.0, 0.01]]
    assert table["change"].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_cells_say_the_change_and_whether_it_is_certain() -> None:
    table = map_of_gains.alpha_by_rate(summary(), METHODS, usual_rate=0.01)
    panel = figures.heat_maps(table, {METRIC: "share"}).axes[0]
    assert [text.get_text() for text in panel.texts] == ["+0.1", "+0.2", "+0.3*"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["1", "3"]


def test_parameters_that_make_no_map_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seeds: [0]\n")
    assert map_of_gains.main([]) == 1
    assert capsys.readouterr().err.startswith("error: params.yaml")
