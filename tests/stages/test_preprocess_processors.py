import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.conftest import ROOT
from tests.support.recording_project import project
from tests.support.simulated_eeg import make

__all__ = ["project"]  # the fixture

# Libraries take the code that they have for processors with no more than SSE3 (OpenBLAS) or SSE4 (numpy, libm).
OLD_PROCESSOR = {
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config(mode="dicts")["SIMD Extensions"]["found"]),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
}


def made(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_old_processor_gives_the_same_recordings_and_vectors(project, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    environment = {**os.environ, **OLD_PROCESSOR, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "tests.support.simulated_eeg"], cwd=old, env=environment) as process:
        make()
    assert process.returncode == 0
    this, that = made(project), made(old)
    assert {Path("table.csv"), Path("train.h5"), Path("validation.h5"), Path("heldout.h5")} < this.keys() == that.keys()
    assert [path for path in this if this[path] != that[path]] == []
