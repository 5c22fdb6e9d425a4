"""The stages of EEG from recordings to results, on the tests' experiment."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mfr.denoising.records import read_denoising
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


TABLES = ("summary", "values", "contests", "consistency", "learning_curves", "table3", "claims", "denoising", "recordings")
FIGURES = (
    *("learning_curves", "reconstruction", "density", "decoder_distances", "denoising"),
    *("traces", "spectra", "patterns", "scalps"),
)


def test_every_table_and_figure_is_there() -> None:
    names = {*(f"{name}.csv" for name in TABLES), *(f"{name}.png" for name in FIGURES), "origin.json"}
    assert {path.name for path in paths.results("eeg").iterdir()} == names
    for name in FIGURES:
        assert paths.result("eeg", f"{name}.png").read_bytes().startswith(b"\x89PNG")
    table3, claims, denoising = (pd.read_csv(paths.result("eeg", f"{name}.csv")) for name in ("table3", "claims", "denoising"))
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
    metrics = json.loads(paths.metrics("eeg").read_text())["eeg"]
    table = read_denoising(paths.denoising("mfr", 0)).table().query("denoiser == 'sae'")
    assert metrics["mfr"]["gain_db"] == pytest.approx(table["snr_gain_db"].mean(), rel=1e-3)
    losses = [sae["mse"] for sae in json.loads(paths.evaluation("eeg", "mfr", 0).read_text())["saes"]]
    assert metrics["mfr"]["mse"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)
    assert (metrics["recordings_used"], metrics["recordings_skipped"]) == (5, 1)


def test_results_say_where_they_come_from() -> None:
    origin = json.loads(paths.result("eeg", "origin.json").read_text())
    assert {"date", "commit", "python", "packages", "machine", "seeds", "section"} == set(origin)
    assert origin["section"]["train"]["k"] == [4, 8] and origin["packages"]["torch"]


def test_line_noise_that_no_window_could_hold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("broken.yaml").write_text(text.replace("line_hz: 40.0", "line_hz: 50.0"))
    assert denoise.main(["--method", "baseline", "--seed", "0", "--params", "broken.yaml"]) == 1
    assert "denoise.line_hz = 50.0 must be below half of preprocess_eeg.rate_hz = 100.0" in capsys.readouterr().err
