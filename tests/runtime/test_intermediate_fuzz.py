"""Damaged files between stages are refused in one line, or read as they were; no reader crashes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.support import damage
from tests.support.small_project import small_project

CASES = int(os.environ.get("MFR_FUZZ", "200"))


def test_damaged_files_are_refused_or_read_as_they_were(tmp_path: Path) -> None:
    with small_project(tmp_path):
        damage.make()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.damage", str(CASES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60 + CASES,
    )
    *lines, last = done.stdout.splitlines() or [""]
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr}"
    assert not [line for line in lines if line.startswith("ACCEPTED")]
    # A bit in unused space, or a digit replaced by itself, changes nothing.
    assert json.loads(last)["refused"] > 0.8 * CASES
