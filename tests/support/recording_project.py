"""A folder of recordings `mine`, and both EEG stages on it, in an empty working folder."""

import zlib
from pathlib import Path

import pandas as pd
import pytest

from mfr.config.eeg import PrepareRecordings, PreprocessEeg
from mfr.config.experiment import Execution
from mfr.runtime import paths
from mfr.sources.eeg.split import SPLITS
from stages import prepare_recordings, preprocess_eeg
from tests.support.recording_files import noise, write_edf

TWO = PreprocessEeg(channels=["C3", "C4"])
OUTPUTS = {split: Path(f"{split}.h5") for split in SPLITS}
SCRATCH = paths.parts("preprocess_eeg")
EXECUTION = Execution()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def record(path: str, seconds: int = 10, seed: int | None = None) -> Path:
    """An EDF file of C3 and C4, whose samples depend on its path unless a seed is given."""
    seed = zlib.crc32(path.encode()) if seed is None else seed
    return write_edf(Path("mine") / path, {"EEG C3-REF": noise(seconds, seed=seed), "C4": noise(seconds, seed=seed + 100)})


def prepare() -> None:
    """List the recordings."""
    prepare_recordings.run(PrepareRecordings(recordings="mine"), Path("recordings"))


def preprocess(parameters: PreprocessEeg = TWO, execution: Execution = EXECUTION) -> pd.DataFrame:
    """Make `OUTPUTS`; the table of what became of each recording."""
    preprocess_eeg.run(parameters, Path("recordings"), OUTPUTS, Path("table.csv"), SCRATCH, execution)
    assert not SCRATCH.exists()
    return pd.read_csv("table.csv", keep_default_na=False, index_col="path")
