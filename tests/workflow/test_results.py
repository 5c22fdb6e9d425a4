import json

import pandas as pd

from mfr.runtime import paths
from tests.conftest import ROOT
from workflow.results import summary_lines


def committed(source: str) -> dict:
    return json.loads((ROOT / paths.metrics(source)).read_text())


def test_the_committed_run_recovers_the_true_features() -> None:
    baseline = committed("synthetic")["methods"]["baseline"]["k36"]
    assert baseline["truth_recovered"]["mean"] >= 0.9


def test_the_committed_model_needs_its_first_mlp() -> None:
    entropy = committed("language_model")["cross_entropy"]
    assert entropy["zero"] - entropy["intact"] >= 1


def test_the_committed_corpus_skips_its_truncated_recording() -> None:
    recordings = committed("eeg")["recordings"]
    assert recordings["skipped"] == 1 and recordings["reasons"] == {"cut short": 1} and recordings["used"] >= 10


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
    assert baseline.split() == ["k4", "baseline", "2"] and mfr.sources.eeg.split() == ["k4", "mfr", "1", "-50.0", "%"]
