"""What one run's files say of each other: files of other runs, or edited ones, are refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mfr.comparison.runs import Run, Runs
from mfr.config.load import load
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from stages import evaluate, generate_synthetic, train
from tests.support.small_project import small_project

BASELINE, MFR = RUNS = [Run("synthetic", method, 0) for method in ("baseline", "mfr")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with small_project(folder):
        assert generate_synthetic.main([]) == 0
        for run in RUNS:
            words = ["--source", "synthetic", "--method", run.method, "--seed", "0"]
            assert train.main(words) == 0 and evaluate.main(words) == 0
    return folder


@pytest.fixture(autouse=True)
def copied(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(project, tmp_path / "copy"))


def read_all() -> None:
    runs = Runs("synthetic", load(Path("params.yaml")).source("synthetic"), RUNS)
    assert len(runs.evaluations) == 2 and len(runs.latents) and len(runs.curves)
    for run in RUNS:
        run.read()


def test_what_the_stages_wrote_is_read() -> None:
    read_all()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (paths.saes, "mfr/0/saes.safetensors: not the file that .*saes.json describes: .*; run train again"),
        (paths.saes_card, "mfr/0/evaluation.json: of other SAEs than those in .*; run evaluate again"),
        (paths.curves, "mfr/0/curves.csv: not the file that .*saes.json describes: .*; run train again"),
        (paths.evaluation, "mfr/0/evaluation.json: the evaluation of synthetic/baseline seed 0; run evaluate again"),
        (paths.features, "mfr/0/features.csv: not the file that .*evaluation.json describes: .*; run evaluate again"),
    ],
)
def test_a_file_of_another_run_is_refused(place: Callable[[str, str, int], Path], message: str) -> None:
    shutil.copy(BASELINE.path(place), MFR.path(place))
    with pytest.raises(UserError, match=message):
        read_all()


def test_an_evaluation_on_other_vectors_is_refused() -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("heldout_rows: ", "heldout_rows: 1"))
    assert generate_synthetic.main([]) == 0
    words = ["--source", "synthetic", "--method", "mfr", "--seed", "0"]
    assert train.main(words) == 0 and evaluate.main(words) == 0
    with pytest.raises(UserError, match=r"mfr/0/evaluation.json: of other held-out vectors than .*baseline/0/evaluation.json"):
        read_all()


def test_vectors_of_other_parameters_than_the_saes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("heldout_rows: ", "heldout_rows: 1"))
    assert generate_synthetic.main([]) == 0
    assert evaluate.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 1
    assert "heldout.h5: not made together with the vectors of runs/synthetic/mfr/0/saes.safetensors" in capsys.readouterr().err


def test_an_edited_number_is_refused() -> None:
    path = MFR.path(paths.evaluation)
    record = json.loads(path.read_text())
    record["saes"][0]["mse"] *= 2
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"mfr/0/evaluation.json: damaged, or edited since evaluate wrote it"):
        read_all()


def test_a_table_of_one_source_is_made_once(tmp_path: Path) -> None:
    with small_project(tmp_path):
        section = load(Path("params.yaml")).source("eeg")
    made = []

    def make(runs: Runs) -> pd.DataFrame:
        made.append(runs.source)
        return pd.DataFrame({"source": [runs.source]})

    runs = Runs("eeg", section, [])
    assert runs.once(make) is runs.once(make) and made == ["eeg"]
    assert Runs("eeg", section, []).once(make) is not runs.once(make)
