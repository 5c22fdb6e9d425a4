"""Ctrl-C ends every command without a traceback, also in the seconds in which Python imports its modules."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.small_project import small_project

# A command, and modules after whose import SIGINT comes; `stages` and `workflow` are the packages of the commands themselves.
COMMANDS = {
    "stages.train --source synthetic --method mfr --seed 0": ["stages", "numpy", "torch", "pandas"],
    "stages.preprocess_eeg": ["scipy.signal"],
    "stages.dump_activations": ["transformers"],
    "workflow.run": ["workflow", "snakemake"],
    "workflow.sync": ["snakemake.exceptions"],
    "workflow.results": ["pandas"],
    "workflow.map": ["matplotlib"],
    "workflow.experiment": ["ruamel.yaml.main"],
    "workflow.schema": ["pydantic"],
}


@pytest.mark.parametrize(("command", "module"), [(command, name) for command in COMMANDS for name in COMMANDS[command]])
def test_sigint_during_imports_is_silent(tmp_path: Path, command: str, module: str) -> None:
    words = [sys.executable, "-X", "importtime", "-m", *command.split()]
    with (
        small_project(tmp_path),
        subprocess.Popen(
            words, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        before = []
        for line in process.stderr:
            before.append(line)
            if line.rpartition("|")[2].strip() == module:
                process.send_signal(signal.SIGINT)
                break
        output, rest = process.communicate()
    assert process.returncode == -signal.SIGINT, "".join(before[-5:]) + rest
    assert "Traceback" not in rest and output == ""
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_sigint_during_work_is_one_line_at_any_moment(tmp_path: Path) -> None:
    """Signals come every few hundredths of a second, also while the first one is handled."""
    earlier = tmp_path / "data/synthetic/train.h5"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("earlier")
    slow = "import stages.generate_synthetic as stage, sys, time\nplain = stage.codes\n" + (
        "def codes(*words):\n    print('working', flush=True)\n    time.sleep(0.2)\n    return plain(*words)\n"
        "stage.codes = codes\nsys.exit(stage.main())"
    )
    with (
        small_project(tmp_path),
        subprocess.Popen(
            [sys.executable, "-c", slow],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout.readline() == "working\n"
        for _ in range(4):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        _, told = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert told == "stopped by SIGINT: no output is half-written; run the stage again\n"
    assert earlier.read_text() == "earlier" and list(earlier.parent.iterdir()) == [earlier]
