"""Workers and killed runs change no byte."""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from mfr.config.experiment import Execution
from mfr.runtime import paths
from mfr.sources.eeg.split import SPLITS
from stages import prepare_recordings, preprocess_eeg
from tests.conftest import ROOT
from tests.support.recording_project import OUTPUTS, SCRATCH, TWO, prepare, preprocess, project, record

__all__ = ["project"]  # the fixture


def test_the_number_of_workers_changes_no_byte():
    for n, name in enumerate("abcdef"):
        record(f"{name}.edf", seconds=10 + n, seed=n)
    prepare()
    made = []
    for workers in (1, 2):
        preprocess(TWO, Execution(workers=workers))
        made.append([path.read_bytes() for path in (*OUTPUTS.values(), Path("table.csv"))])
    assert made[0] == made[1]


def test_a_killed_run_goes_on_with_the_files_that_are_left():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["eeg"] |= {"prepare_recordings": {"recordings": "mine"}, "preprocess_eeg": TWO.model_dump()}
    params["execution"]["progress_s"] = 1e-9
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for n in range(12):
        record(f"{n}/1.edf", seconds=300, seed=n)
    assert prepare_recordings.main([]) == 0
    outputs = [*(paths.vectors("eeg", split) for split in SPLITS), paths.RECORDINGS_TABLE]
    stage = {"args": [sys.executable, "-m", "stages.preprocess_eeg"], "env": {**os.environ, "PYTHONPATH": str(ROOT)}}

    process = subprocess.Popen(**stage)
    while len(done := [path for path in SCRATCH.glob("[0-9a-f]*.part") if "-" not in path.name]) < 4:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert len(done) < 12 and not any(output.exists() for output in outputs)
    told = subprocess.run(**stage, check=True, capture_output=True, text=True).stderr.splitlines()
    progress = [line for line in told if line.endswith(" of 12 usable files")]
    assert int(progress[0].split()[1]) > len(done) and progress[-1] == "preprocess_eeg: 12 of 12 usable files"
    killed = [output.read_bytes() for output in outputs]
    assert not SCRATCH.exists() and preprocess_eeg.main([]) == 0
    assert [output.read_bytes() for output in outputs] == killed
