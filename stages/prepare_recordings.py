"""Simulate a corpus of EEG recordings, or pin the files of a user's folder; either way, list them in manifest.json."""

import argparse
import sys
from pathlib import Path

from mfr import paths
from mfr.eeg_params import PrepareRecordings, Simulated
from mfr.params import Params
from mfr.pinned import MANIFEST, pinned
from mfr.recordings import RecordingManifest, pin, pin_eegbci
from mfr.simulated_eeg import write_corpus
from stages.common import call, check_outside, stage_parser, writing


def run(parameters: PrepareRecordings, output: Path) -> None:
    """Write the folder `output` with its manifest, and with the recordings where they are simulated.

    Raises `UserError` where the named folder is missing, empty, or the output itself.
    """
    with writing(output) as [folder]:
        folder.mkdir()
        if parameters.recordings == "simulated" and parameters.simulated:
            manifest = _simulate(parameters.simulated, folder)
        elif parameters.recordings == "eegbci":
            manifest = pin_eegbci(parameters.eegbci)
        else:
            root = Path(parameters.recordings).expanduser()
            check_outside(root, output, "prepare_recordings.recordings")
            manifest = pin(root)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _simulate(simulated: Simulated, folder: Path) -> RecordingManifest:
    written = write_corpus(folder, simulated.subjects, simulated.seconds, simulated.seed)
    # No times and no absolute root, so that equal parameters give equal bytes anywhere.
    return RecordingManifest(root=".", files=pinned(folder, [folder / path for path in written], with_time=False))


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    run(params.eeg.prepare_recordings, paths.RECORDINGS)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.prepare_recordings", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
