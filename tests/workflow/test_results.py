import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mfr.config.load import load
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from tests.conftest import ROOT
from tests.support.project import clone, commit, edit
from workflow.results import difference, origin_of, summary_lines, triggers, whose


def committed(source: str) -> dict:
    return json.loads((ROOT / paths.metrics(source)).read_text())[source]


def test_the_committed_run_recovers_the_true_features() -> None:
    assert committed("synthetic")["baseline"]["recovered"] >= 0.9


def test_the_committed_model_needs_its_first_mlp() -> None:
    model = committed("language_model")
    assert model["ce_zeroed"] - model["ce_intact"] >= 1


def test_the_committed_corpus_skips_its_truncated_recording() -> None:
    eeg, table = committed("eeg"), pd.read_csv(ROOT / paths.result("eeg", "recordings.csv"))
    assert eeg["recordings_skipped"] == 1 and eeg["recordings_used"] >= 10
    assert table["reason"].dropna().str.split(":").str[0].tolist() == ["cut short"]


def test_the_committed_metrics_are_about_ten_a_source_of_names_of_their_own() -> None:
    for source in ("synthetic", "language_model", "eeg"):
        leaves = list(names_of(committed(source)))
        assert 5 <= len(leaves) <= 14 and max(map(len, leaves)) + len(source) < 40


def names_of(tree: dict, where: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield from names_of(value, f"{where}{name}.") if isinstance(value, dict) else [f"{where}{name}"]


def test_results_say_whose_they_are_and_what_is_out_of_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone(tmp_path))
    section = load(Path("params.yaml")).source("eeg").model_dump()
    origin = {"date": "2026-01-02", "commit": "abc", "seeds": [0], "section": section}
    paths.results("eeg").mkdir(parents=True)
    paths.result("eeg", "origin.json").write_text(json.dumps(origin))
    assert whose("eeg") == "your results (not committed), 2026-01-02, commit abc" and difference("eeg") is None
    commit(tmp_path)
    assert whose("eeg").startswith("the committed record, 2026-01-02")
    edit(tmp_path, "params.yaml", "windows: 10", "windows: 11")
    assert difference("eeg") == "out of date: params.yaml has other values of denoise.windows"


def test_the_summary_fits_a_terminal() -> None:
    for source in ("synthetic", "language_model", "eeg"):
        assert max(map(len, summary_lines(pd.read_csv(ROOT / paths.result(source, "summary.csv"))))) <= 130


def test_one_seed_has_no_spread() -> None:
    rows = [
        ("baseline", "baseline", "k4", "mse", 2.0, None, 1, 0.0, None),
        ("mfr", "baseline", "k4", "mse", 1.0, None, 1, -50.0, None),
    ]
    columns = ["method", "versus", "group", "metric", "mean", "sd", "seeds", "change", "change_sd"]
    head, baseline, mfr = summary_lines(pd.DataFrame(rows, columns=columns))
    assert head.split() == ["group", "method", "mse", "mse", "change"]
    assert baseline.split() == ["k4", "baseline", "2"] and mfr.split() == ["k4", "mfr", "1", "-50.0", "%"]


COLUMNS = ["method", "versus", "group", "metric", "mean", "sd", "seeds", "pairs", "change", "change_sd"]


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_means_over_k_say_what_their_change_is() -> None:
    falls_but_rises = (
        [("all_k", 5.5, 0.0), ("k4", 10.0, 0.0), ("k8", 1.0, 0.0)],
        [("all_k", 5.46, 0.5), ("k4", 9.9, -1), ("k8", 1.02, 2)],
    )
    rows = [
        (method, "baseline", group, "mse", mean, 0.1, 2, 2, change, 0.2)
        for method, of_method in zip(("baseline", "mfr"), falls_but_rises, strict=True)
        for group, mean, change in of_method
    ]
    lines = summary_lines(table(*rows))
    assert lines[-3].strip() == (
        "means over k: the change is the mean of the changes at each k above, not the change of the mean mse"
    )
    assert lines[-1].split() == ["all_k", "mfr", "5.46", "±", "0.10", "+0.50", "±", "0.20", "%"]
    alone = summary_lines(table(*(row for row in rows if row[0] == "baseline")))
    assert alone[-2].strip() == "means over k"


def test_a_method_equal_to_its_reference_says_so_and_whether_it_was_triggered() -> None:
    rows = [
        (method, "baseline", "k4", metric, 2.0, 0.5, 2, 2, 0.0, 0.0)
        for method in ("baseline", "restart", "copy", "acted")
        for metric in ("mse", "dead")
    ]
    summary = table(*rows, ("acted", "baseline", "ensemble", "mmcs_max", 0.5, 0.1, 2, 2, 0.01, 0.02))
    _, baseline, restart, copy, acted = summary_lines(summary, {"restart": False, "acted": True})
    assert baseline.endswith("2.00 ± 0.50") and acted.endswith("+0 ± 0 %")
    assert restart.endswith("identical to baseline: never triggered") and copy.endswith("identical to baseline")


def test_what_is_missing_is_a_dash_and_fewer_seeds_are_counted() -> None:
    rows = [
        ("baseline", "baseline", "k4", "mse", 2.0, 0.5, 2, 2, 0.0, 0.0),
        ("baseline", "baseline", "k4", "dead", 0.5, None, 1, 1, 0.0, None),
        ("mfr", "baseline", "k4", "mse", 3.0, 0.5, 2, 1, 50.0, None),
        ("alone", "baseline", "k4", "mse", 3.0, 0.5, 2, 0, None, None),
    ]
    _, *lines = summary_lines(table(*rows))
    assert [" ".join(line.split()) for line in lines] == [
        "k4 baseline 2.00 ± 0.50 0.5 (n = 1)",
        "k4 mfr 3.00 ± 0.50 — +50.0 % (n = 1)",
        "k4 alone 3.00 ± 0.50 — —",
    ]


def test_the_committed_reinitialisation_never_triggered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    acted = triggers("synthetic")
    lines = summary_lines(pd.read_csv(paths.result("synthetic", "summary.csv")), acted)
    (line,) = [line for line in lines if line.split()[1] == "reinit"]
    assert line.endswith("identical to baseline: never triggered") == (acted["reinit"] is False)


@pytest.mark.parametrize(("text", "message"), [("<<<<<<< HEAD\n{}", "not valid JSON"), ("{}", "without commit, date")])
def test_a_damaged_origin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = paths.result("eeg", "origin.json")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match=rf"results/eeg/origin.json: damaged, .*{message}"):
        origin_of("eeg")
