import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mfr.config.load import load
from mfr.runtime import paths
from tests.conftest import ROOT
from tests.support.project import clone, commit, edit
from workflow.results import difference, summary_lines, whose


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
