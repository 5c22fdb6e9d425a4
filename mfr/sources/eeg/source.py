"""EEG recordings as a source: each vector is a window of a recording."""

from pathlib import Path

from mfr.config.eeg import Eeg
from mfr.config.source import SourceSection
from mfr.runtime import paths
from mfr.sources.source import Source


class EegSource(Source):
    """Windows of EEG recordings."""

    vectors_by = "preprocess_eeg"
    splits = ("train", "validation", "heldout")
    prepared = (paths.RECORDINGS, paths.RECORDINGS_TABLE)
    read_by_compare = (paths.RECORDINGS_TABLE,)
    explained_by = "mfr.description.windows"
    reported_by = "mfr.comparison.eeg"

    def files_of_run(self, method: str, seed: str | int) -> list[Path]:
        """The file of how well an ensemble denoises."""
        return [paths.denoising(method, seed)]

    def outside(self, section: SourceSection) -> dict[str, tuple[str, Path]]:
        """The parameter that may name a user's folder of recordings."""
        assert isinstance(section, Eeg)
        return {"prepare_recordings.recordings": (section.prepare_recordings.recordings, paths.RECORDINGS)}


SOURCE = EegSource()
