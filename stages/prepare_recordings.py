"""Simulate a corpus of EEG recordings, or pin the files of a user's folder; either way, list them in manifest.json."""

import argparse
import json
import sys
from pathlib import Path

from mfr import paths
from mfr.errors import UserError
from mfr.params import Params, PrepareRecordings, Simulated
from mfr.simulated_eeg import write_corpus
from stages.common import call, stage_parser, writing


def run(parameters: PrepareRecordings, output: Path) -> None:
    """Write the folder `output` with `manifest.json`, and with the recordings where they are simulated.

    The manifest gives `root`, which is absolute or relative to the manifest's folder, and for each file in `files` its `path`
    below the root, its `bytes`, and the time it was last modified (`modified_ns`), null for simulated files.
    Raises `UserError` where the named folder is missing, empty, or the output itself.
    """
    with writing(output) as [folder]:
        if parameters.recordings == "simulated" and parameters.simulated:
            folder.mkdir()
            manifest = _simulate(parameters.simulated, folder)
        else:
            manifest = _pin(Path(parameters.recordings).expanduser(), output)
            folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _simulate(simulated: Simulated, folder: Path) -> dict[str, object]:
    written = write_corpus(folder, simulated.subjects, simulated.seconds, simulated.seed)
    # No times and no absolute root, so that equal parameters give equal bytes anywhere.
    files = [{"path": path, "bytes": (folder / path).stat().st_size, "modified_ns": None} for path in sorted(written)]
    return {"root": ".", "files": files}


def _pin(root: Path, output: Path) -> dict[str, object]:
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"prepare_recordings.recordings: {root} {what}: give a folder of EDF files, or simulated")
    if root.resolve().is_relative_to(output.resolve()):
        raise UserError(
            f"prepare_recordings.recordings: {root} lies in this stage's output {output}, which is deleted: move it"
        )
    files = []
    for path in root.rglob("*"):
        if path.suffix.lower() == ".edf" and path.is_file():
            found = path.stat()
            place = path.relative_to(root).as_posix()
            files.append({"path": place, "bytes": found.st_size, "modified_ns": found.st_mtime_ns})
    if not files:
        raise UserError(f"prepare_recordings.recordings: {root} holds no .edf file, in its subfolders neither")
    return {"root": str(root.resolve()), "files": sorted(files, key=lambda file: str(file["path"]))}


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    run(params.eeg.prepare_recordings, paths.RECORDINGS)


def main(argv: list[str] | None = None) -> int:
    """Command line of this stage."""
    return call(_stage, stage_parser("stages.prepare_recordings", "Simulate or pin the EEG recordings.").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
