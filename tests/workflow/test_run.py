"""`make run` after runs that were killed or stopped, and beside another one."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.project import clone, edit, environment, run

VECTORS = "data/synthetic/train.h5"
RUN = ["python", "-m", "workflow.run", "--cores", "1", VECTORS]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose first job says so in `working`, and goes on for a minute if there is a file `slow`."""
    folder = clone(tmp_path_factory.mktemp("runs"))
    job = "from pathlib import Path\n    Path('working').touch()\n    while Path('slow').exists():\n        time.sleep(0.05)\n"
    edit(
        folder,
        "stages/generate_synthetic.py",
        "def _stage(_: argparse.Namespace, params: Params) -> str:\n",
        (f"def _stage(_: argparse.Namespace, params: Params) -> str:\n    import time\n    {job}"),
    )
    return folder


@pytest.fixture
def running(project: Path) -> Iterator[psutil.Process]:
    """A run whose first job has begun, in a group of its own."""
    (project / "slow").touch()
    (project / "working").unlink(missing_ok=True)
    process = psutil.Popen(
        RUN, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    while not (project / "working").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    yield process
    (project / "slow").unlink(missing_ok=True)
    for each in [process, *process.children(recursive=True)] if process.is_running() else []:
        each.kill()
    process.wait()


def test_a_second_run_names_the_first(project: Path, running: psutil.Process) -> None:
    output = run(project, *RUN, fails=True).splitlines()
    assert len(output) == 1
    assert output[0].startswith(f"error: {project}: process {running.pid} (`")
    assert output[0].endswith(f"-m workflow.run --cores 1 {VECTORS}`) is at work here; wait until it ends, or stop it")
    assert running.is_running() and list((project / ".snakemake/locks").iterdir())
    run(project, *RUN, "--dry-run")  # takes no lock


def test_a_run_that_was_stopped_says_so_and_leaves_no_lock(project: Path, running: psutil.Process) -> None:
    for each in [running, *running.children(recursive=True)]:
        each.send_signal(signal.SIGINT)
    output, _ = running.communicate()
    assert running.returncode == 128 + signal.SIGINT
    assert "stopped by SIGINT: finished jobs are kept; run again to go on" in output and "Traceback" not in output
    log = (project / "logs/synthetic/generate_synthetic.log").read_text()
    assert log == "stopped by SIGINT: no output is half-written; run the stage again\n"
    assert not (project / ".snakemake/locks").exists()


def test_a_run_after_one_that_was_killed_unlocks_and_goes_on(project: Path, running: psutil.Process) -> None:
    jobs = running.children(recursive=True)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    # Its job goes on for a while.
    assert any(f"process {job.pid} (`" in run(project, *RUN, fails=True) for job in jobs if job.is_running())
    for job in jobs:
        job.kill()
    psutil.wait_procs(jobs)
    (project / "slow").unlink()
    output = run(project, *RUN)
    assert "a run that was killed left its lock; no other is at work here: unlocked\n" in output
    assert "[1/1] generate_synthetic · " in output and (project / VECTORS).is_file()
    assert "unlocked" not in run(project, *RUN)


def test_make_run_fails_if_the_run_is_killed(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "installed").touch()  # nothing is installed: make finds this interpreter's programs
    make = psutil.Popen(
        ["make", "run", "CORES=1"], cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not (found := [each for each in make.children(recursive=True) if "workflow.run" in each.cmdline()]):
        assert make.poll() is None, make.stdout.read()
        time.sleep(0.02)
    found[0].kill()
    output, _ = make.communicate()
    assert make.returncode == 2 and "Killed" in output
