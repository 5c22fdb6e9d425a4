"""Both EEG stages on a small simulated corpus, in the working folder; also as a program, for another environment."""

from pathlib import Path

from mfr.config.eeg import PrepareRecordings, PreprocessEeg, Simulated
from stages import prepare_recordings
from tests.support.recording_project import preprocess


def make() -> None:
    """Write the recordings, their table and their vectors."""
    prepare_recordings.run(PrepareRecordings(simulated=Simulated(subjects=4, seconds=10)), Path("recordings"))
    # Without rounding, this filter depends on whether numpy may fuse a product and a sum.
    preprocess(PreprocessEeg(order=6, low_hz=0.3, high_hz=50.0))


if __name__ == "__main__":
    make()
