"""Simulate a corpus of EEG recordings, or pin the files of a user's folder; either way, list them in manifest.json."""

import argparse
import sys
from pathlib import Path

from mfr.config.eeg import Eeg, PrepareRecordings, Simulated
from mfr.config.experiment import Params
from mfr.runtime import paths
from mfr.runtime.files import check_outside, writing
from mfr.sources.eeg.recordings import RecordingManifest, pin, pin_eegbci
from mfr.sources.eeg.simulation import write_corpus
from mfr.sources.manifest import MANIFEST, pinned
from stages.common import call, stage_parser


def run(parameters: PrepareRecordings, output: Path) -> RecordingManifest:
    """Write the folder `output` with its manifest, and with the recordings where they are simulated.

    Raises `UserError` where the named folder is missing, empty, or the output itself.
    """
    with writing(output) as [folder]:
        folder.mkdir()
        if parameters.recordings == "simulated":
            manifest = _simulate(parameters.simulated, folder)
        elif parameters.recordings == "eegbci":
            manifest = pin_eegbci(parameters.eegbci)
        else:
            root = Path(parameters.recordings).expanduser()
            check_outside(root, output, "prepare_recordings.recordings")
            manifest = pin(root)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _simulate(simulated: Simulated, folder: Path) -> RecordingManifest:
    written = write_corpus(folder, simulated.subjects, simulated.seconds, simulated.seed)
    # No times and no absolute root, so that equal parameters give equal bytes anywhere.
    return RecordingManifest(root=".", files=pinned(folder, [folder / path for path in written], with_time=False))


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    manifest = run(params.section(Eeg).prepare_recordings, paths.RECORDINGS)
    return f"{len(manifest.files)} recordings"


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.prepare_recordings", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
