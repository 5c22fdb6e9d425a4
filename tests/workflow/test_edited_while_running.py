"""params.yaml edited while an engine runs: no engine records values with which nothing was made."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from mfr.runtime import paths
from tests.support.project import clone, edit, environment, run
from tests.support.small_project import SMOKE

RUN = ("synthetic", "baseline", "0")
LONG, SHORT = 1000, 60
TRAIN = "python -m stages.train --source synthetic --method baseline --seed 0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One training of some seconds, which leaves a checkpoint soon after its start."""
    folder = clone(tmp_path)
    smoke = yaml.safe_load(SMOKE)
    train = smoke["synthetic"]["train"] | {"steps": LONG, "measure_every": None}
    section = smoke["synthetic"] | {"methods": {"baseline": {}}, "train": train}
    execution = smoke["execution"] | {"checkpoint_steps": 100}
    params = {"seeds": [0], "sources": ["synthetic"], "synthetic": section, "execution": execution}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def edited_while_training(folder: Path, *command: str) -> str:
    """Output of a command that fails after fewer steps were asked for in the middle of its training."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not (folder / paths.checkpoint(*RUN)).exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    edit(folder, "params.yaml", f"steps: {LONG}", f"steps: {SHORT}")
    output = process.communicate()[0]
    assert process.returncode != 0, output
    return output


def steps_of_card(folder: Path) -> int:
    steps: int = json.loads((folder / paths.saes_card(*RUN)).read_text())["train"]["steps"]
    return steps


def test_snakemake_records_what_it_planned_and_trains_again(project: Path) -> None:
    wanted = str(paths.evaluation(*RUN))
    edited_while_training(project, "snakemake", "--cores", "1", wanted)
    assert steps_of_card(project) == LONG
    log = (project / "logs/synthetic/baseline/0/evaluate.log").read_text()
    assert f"train.steps = {LONG}, but params.yaml gives {SHORT}" in log and log.count("\n") == 1
    assert TRAIN in run(project, "snakemake", "--cores", "1", "--dry-run", "--printshellcmds", wanted)
    run(project, "snakemake", "--cores", "1", wanted)
    assert steps_of_card(project) == SHORT
    assert "Nothing to be done" in run(project, "snakemake", "--cores", "1", "--dry-run", wanted)


def test_snakemake_starts_no_job_on_values_it_did_not_plan(project: Path) -> None:
    # The job that makes the vectors waits until the file has another number of steps.
    edit(project, "workflow/rules/synthetic.smk", '"python -m', '"sed -i /steps/s/1000/60/ params.yaml; python -m')
    run(project, "snakemake", "--cores", "1", str(paths.saes(*RUN)), fails=True)
    log = (project / "logs/synthetic/baseline/0/train.log").read_text()
    assert log == "error: params.yaml: synthetic.train: changed since this run was planned; run again\n"


def test_dvc_records_nothing_and_goes_on_from_the_checkpoint(project: Path) -> None:
    output = edited_while_training(project, "dvc", "repro", "train_synthetic")
    assert f"params.yaml: synthetic.train.steps: changed from {LONG} to {SHORT} while the stage ran; run again" in output
    assert "Traceback" not in output and not (project / paths.saes(*RUN)).exists()
    assert not (project / "dvc.lock").exists()
    edit(project, "params.yaml", f"steps: {SHORT}", f"steps: {LONG}")
    assert "resuming at step" in run(project, "dvc", "repro", "train_synthetic")
    assert steps_of_card(project) == LONG
    run(project, "dvc", "status", "--quiet", "--with-deps", "train_synthetic")
    edit(project, "params.yaml", "checkpoint_steps: 100", "checkpoint_steps: 200")
    run(project, "dvc", "status", "--quiet", "--with-deps", "train_synthetic")
