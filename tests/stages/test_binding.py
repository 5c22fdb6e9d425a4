import argparse
import os
from pathlib import Path

import pytest

from mfr.config.declared import fingerprint, values_of
from mfr.config.experiment import Params
from mfr.config.load import read
from mfr.runtime import paths
from mfr.runtime.files import writing
from stages import generate_synthetic, train
from stages.common import call, stage_parser
from tests.support.small_project import small_project

WORDS = ["--source", "synthetic", "--method", "mfr", "--seed", "0"]
PARAMS, OUTPUT = Path("params.yaml"), Path("out.csv")
STEPS = ("steps: 60\n    learning_rate: 0.01", "steps: 61\n    learning_rate: 0.01")


@pytest.fixture(autouse=True)
def project(tmp_path: Path):
    with small_project(tmp_path):
        yield


def edit(old: str, new: str) -> None:
    text = PARAMS.read_text()
    assert text.count(old) == 1
    PARAMS.write_text(text.replace(old, new))


def of_train(*words: str) -> argparse.Namespace:
    return stage_parser("stages.train", "Train.", "source", "method", "seed").parse_args([*WORDS, *words])


def planned() -> str:
    return fingerprint(values_of(read(PARAMS).raw, "train", vars(of_train())))


def writes_while_edited(old: str, new: str):
    def stage(_: argparse.Namespace, params: Params) -> str:
        with writing(OUTPUT) as [part]:
            part.write_text("done")
            edit(old, new)
        return "done"

    return stage


def test_a_job_runs_only_on_the_values_it_was_planned_with(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--planned", planned()]
    edit("threads: 1", "threads: 2")
    edit("windows: 10", "windows: 11")
    assert call(lambda *_: "ran", of_train(*words)) == 0
    edit(*STEPS)
    assert call(lambda *_: "ran", of_train(*words)) == 1
    captured = capsys.readouterr()
    assert captured.out.count("ran") == 1
    assert captured.err == "error: params.yaml: synthetic.train: changed since this run was planned; run again\n"


def test_a_job_of_snakemake_that_runs_already_ends_on_its_values() -> None:
    assert call(writes_while_edited(*STEPS), of_train("--planned", planned())) == 0 and OUTPUT.read_text() == "done"


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (STEPS[1], "synthetic.train.steps: changed from 60 to 61 while the stage ran; run again"),
        ("steps: [", "not valid YAML: expected ',' or ']'"),
        ("steps: 060\n    learning_rate: 0.01", "synthetic.train.steps: 060 is 48 for some programs, but 60 for others"),
    ],
)
def test_dvc_records_no_values_that_came_while_a_stage_ran(
    new: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    OUTPUT.write_text("earlier")
    assert call(writes_while_edited(STEPS[0], new), of_train()) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: params.yaml: {message}") and error.count("\n") == 1
    assert OUTPUT.read_text() == "earlier"


def test_dvc_records_no_values_that_came_after_the_outputs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    assert call(lambda *_: edit(*STEPS) or "ran", of_train()) == 1
    assert "changed from 60 to 61" in capsys.readouterr().err


def test_dvc_does_not_mind_edits_of_what_the_stage_does_not_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    assert call(writes_while_edited("windows: 10", "windows: no number"), of_train()) == 0 and OUTPUT.read_text() == "done"


def test_training_that_dvc_must_not_record_keeps_its_checkpoint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("checkpoint_s: 60.0", "checkpoint_s: 0.0001")
    assert generate_synthetic.main([]) == 0
    monkeypatch.setenv("DVC_STAGE", "train")
    run = train.Trainer.run

    def edited(*words):
        trained = run(*words)
        edit(*STEPS)
        return trained

    monkeypatch.setattr(train.Trainer, "run", edited)
    assert train.main(WORDS) == 1 and not paths.saes("synthetic", "mfr", 0).exists()
    monkeypatch.setattr(train.Trainer, "run", run)
    edit(*reversed(STEPS))
    assert train.main(WORDS) == 0
    assert "resuming at step 60" in capsys.readouterr().err and paths.saes("synthetic", "mfr", 0).exists()


def test_a_seed_that_is_not_in_the_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*WORDS[:-1], "7"]) == 1
    assert capsys.readouterr().err == "error: --seed 7: no such seed; params.yaml has 0\n"
    assert not os.path.lexists("runs")
