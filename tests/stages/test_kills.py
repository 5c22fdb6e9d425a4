"""A training run that is killed again and again, through both engines, ends with the bytes of one that was left alone."""

import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.support.project import clone, edit, environment, run

WEIGHTS = Path("runs/synthetic/mfr/0/saes.safetensors")
CURVES = WEIGHTS.with_name("curves.csv")
TRAIN = ["python", "-m", "stages.train", "--source", "synthetic", "--method", "mfr", "--seed", "0"]
SNAKEMAKE = ["snakemake", "--cores", "1", "--rerun-incomplete", "--nolock", str(WEIGHTS)]
DVC = ["dvc", "repro", "--single-item", "train_synthetic@synthetic-mfr-0"]
KILLS = 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose training takes some ten seconds, with its vectors made and known to DVC."""
    folder = clone(tmp_path_factory.mktemp("kills"))
    edit(folder, "params.yaml", "    batch: 100\n    steps: 60\n", "    batch: 500\n    steps: 3000\n")
    edit(folder, "params.yaml", "checkpoint_s: 60.0", "checkpoint_s: 0.2")
    run(folder, "dvc", "repro", "workflow/dvc.yaml:generate_synthetic")
    return folder


def start(folder: Path, *command: str) -> psutil.Process:
    return psutil.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def checkpoint(folder: Path) -> Path | None:
    found = (folder / "scratch" / "checkpoints").glob("*.safetensors")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def wait_for_checkpoint(folder: Path, process: psutil.Process) -> None:
    """Until a checkpoint is written that was not there."""
    found = checkpoint(folder)
    before = found.stat().st_mtime_ns if found else 0
    while not (found := checkpoint(folder)) or found.stat().st_mtime_ns == before:
        assert process.poll() is None, f"ended before it was killed: {process.stdout.read()[-3000:]}"
        time.sleep(0.01)


def kill(process: psutil.Process) -> None:
    """The engine first: DVC rewrites its own lock file when its stage dies, and cut short that file stops it for good."""
    for each in [process, *process.children(recursive=True)]:
        each.kill()
    process.wait()


def test_kills_at_any_step_change_no_byte(project: Path) -> None:
    moments = random.Random()
    for number in range(KILLS):
        engine = (SNAKEMAKE, DVC)[number % 2]
        process = start(project, *engine)
        wait_for_checkpoint(project, process)
        time.sleep(moments.uniform(0, 0.5))
        kill(process)
        assert not (project / WEIGHTS).exists()
    run(project, *SNAKEMAKE)
    assert "resuming at step" in (project / "logs/synthetic/mfr/0/train.log").read_text()
    killed = [(project / path).read_bytes() for path in (WEIGHTS, CURVES)]

    # Left alone, but beside others.
    beside = [start(project, *(word.replace("mfr", method) for word in TRAIN)) for method in ("baseline", "reinit")]
    alone = run(project, *TRAIN)
    for process in beside:
        kill(process)
    assert "resuming" not in alone
    assert [(project / path).read_bytes() for path in (WEIGHTS, CURVES)] == killed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_stage_saves_and_says_so(project: Path, number: int) -> None:
    process = start(project, *TRAIN)
    wait_for_checkpoint(project, process)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number
    assert f"stopped by {signal.Signals(number).name}: saved at step" in output and "Traceback" not in output


def test_a_second_process_on_the_same_output_is_refused_by_both_engines(project: Path) -> None:
    process = start(project, *TRAIN)
    wait_for_checkpoint(project, process)
    assert "another process is writing it" in run(project, *DVC, "--force", fails=True)
    run(project, *SNAKEMAKE, "--force", fails=True)
    assert "another process is writing it" in (project / "logs/synthetic/mfr/0/train.log").read_text()
    assert process.is_running()
    kill(process)
