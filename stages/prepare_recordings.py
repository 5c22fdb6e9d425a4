"""Simulate EEG recordings, or pin those of a data set or folder, in manifest.json."""

import argparse
import sys
from pathlib import Path

from mfr.config.eeg import Eeg, PrepareRecordings, Simulated
from mfr.config.experiment import Params
from mfr.runtime import paths
from mfr.runtime.files import check_outside, writing
from mfr.runtime.wording import counted
from mfr.sources.eeg.recordings import RecordingManifest, pin, pin_eegbci
from mfr.sources.eeg.simulation import write_corpus
from mfr.sources.manifest import MANIFEST, pinned
from stages.common import call, stage_parser


def run(parameters: PrepareRecordings, output: Path) -> RecordingManifest:
    """Write the folder `output` with the manifest and, if they are simulated, the recordings.

    Raises `UserError` if the named folder is missing, has no recordings, or is in `output`.
    """
    with writing(output) as [folder]:
        folder.mkdir()
        if parameters.recordings == "simulated":
            manifest = _simulate(parameters.simulated, folder)
        elif parameters.recordings == "eegbci":
            manifest = pin_eegbci(parameters.eegbci)
        else:
            root = paths.expanded(parameters.recordings)
            check_outside(root, output, "prepare_recordings.recordings")
            manifest, lines = pin(root)
            print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr)
        (folder / MANIFEST).write_text(manifest.text())
    return manifest


def _simulate(simulated: Simulated, folder: Path) -> RecordingManifest:
    """Write a simulated corpus to `folder` and return its manifest."""
    written = write_corpus(folder, simulated.subjects, simulated.seconds, simulated.seed)
    # No times and no absolute root, so that equal parameters give equal bytes anywhere.
    return RecordingManifest(root=".", files=pinned(folder, [folder / path for path in written], with_time=False))


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    manifest = run(params.section(Eeg).prepare_recordings, paths.RECORDINGS)
    left_out = f", {len(manifest.left_out)} left out" if manifest.left_out else ""
    return f"{counted(len(manifest.files), 'recording')}{left_out}"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.prepare_recordings", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
