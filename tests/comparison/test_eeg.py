"""The stages of EEG from recordings to results, on the tests' experiment."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mfr.comparison import eeg as eeg_results
from mfr.runtime import paths
from stages import compare, denoise, evaluate, prepare_recordings, preprocess_eeg, train
from tests.support.small_project import small_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with small_project(folder):
        assert prepare_recordings.main([]) == 0 and preprocess_eeg.main([]) == 0
        for method in ("baseline", "mfr"):
            run = ["--method", method, "--seed", "0"]
            assert train.main(["--source", "eeg", *run]) == 0 and evaluate.main(["--source", "eeg", *run]) == 0
            assert denoise.main(run) == 0
        assert compare.main(["--source", "eeg"]) == 0
    return folder


@pytest.fixture(autouse=True)
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def test_every_table_and_figure_is_there() -> None:
    for name in eeg_results.FIGURES:
        assert paths.result("eeg", name).read_bytes().startswith(b"\x89PNG")
    table3, claims, denoising = (pd.read_csv(paths.result("eeg", name)) for name in eeg_results.TABLES[1:])
    assert set(table3["k"]) == {"4", "8", "mean"} and table3["l2"].notna().sum() == 4
    assert {claim.split(":")[0] for claim in claims["claim"]} == {"mfr"} and set(claims["verdict"]) == {"undecided"}
    assert set(denoising["denoiser"]) == {"nothing", "wiener", "pca", "baseline", "mfr"} and len(denoising) == 5 * 4 * 8


def test_table3_agrees_with_the_evaluations() -> None:
    table = pd.read_csv(paths.result("eeg", "table3.csv")).set_index(["k", "method"])
    evaluation = json.loads(paths.evaluation("eeg", "mfr", 0).read_text())
    (pair,) = evaluation["pairs"]
    row = table.loc[("8", "mfr")]
    assert row["l2"] == pytest.approx(pair["decoder_l2"], rel=1e-3)
    assert row["l2_matched"] == pytest.approx(pair["decoder_l2_matched"], rel=1e-3)
    assert row["mse"] == pytest.approx(evaluation["saes"][1]["mse"], rel=1e-3)


def test_the_metrics_hold_what_each_method_gains() -> None:
    metrics = json.loads(paths.metrics("eeg").read_text())
    table = pd.read_csv(paths.denoising("mfr", 0)).query("noise == 'pop' and k == 8").groupby("denoiser")["snr_gain_db"].mean()
    found = metrics["denoising"]["mfr"]["pop"]["k8"]
    assert found["snr_gain_db"] == pytest.approx(table["sae"], abs=1e-3)
    assert found["over_pca_db"] == pytest.approx(table["sae"] - table["pca"], abs=1e-3)


def test_line_noise_that_no_window_could_hold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("broken.yaml").write_text(text.replace("line_hz: 40.0", "line_hz: 50.0"))
    assert denoise.main(["--method", "baseline", "--seed", "0", "--params", "broken.yaml"]) == 1
    assert "denoise.line_hz = 50.0 must lie below half of preprocess_eeg.rate_hz = 100.0" in capsys.readouterr().err


def test_recordings_that_are_all_used_have_no_reasons(tmp_path: Path) -> None:
    table = pd.read_csv(paths.RECORDINGS_TABLE)
    table[table["status"] == "used"].to_csv(tmp_path / "used.csv", index=False)
    tree = eeg_results.recordings_tree(tmp_path / "used.csv")
    assert tree["used"] > 0 and tree["skipped"] == 0 and tree["reasons"] == {}
