"""Pin the recordings to study, the files below a root, in a manifest."""

from pathlib import Path

from mne.datasets.eegbci import load_data
from pydantic import Field

from mfr.config.eeg import Eegbci
from mfr.runtime.errors import UserError
from mfr.runtime.records import Record
from mfr.sources.manifest import PinnedFile, check_unchanged, pinned, read_manifest, visible

ENDINGS = (".edf", ".bdf", ".gdf", ".fif", ".fif.gz", ".vhdr", ".set")
COMPANIONS = (".eeg", ".vmrk", ".dat", ".fdt")  # files that MNE reads with a .vhdr or .set file


class RecordingManifest(Record):
    """The recordings below `root`, and the companion files that they refer to.

    `root` is absolute, or relative to the manifest's folder.
    """

    root: str
    files: list[PinnedFile]
    companions: list[PinnedFile] = Field(default_factory=list)


def ending(path: Path) -> str:
    """The one of `ENDINGS` or `COMPANIONS` that a file's name has, in any case; or `""`."""
    return next((end for end in (*ENDINGS, *COMPANIONS) if path.name.lower().endswith(end)), "")


def pin(root: Path) -> RecordingManifest:
    """Manifest of a user's recordings in `root` and its subfolders; `UserError` if none."""
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"prepare_recordings.recordings: {root} {what}; give a folder of recordings, simulated or eegbci")
    files = visible(root)
    recordings = [path for path in files if ending(path) in ENDINGS]
    if not recordings:
        raise UserError(
            f"prepare_recordings.recordings: {root} and its subfolders contain no file with the ending {', '.join(ENDINGS)}; "
            "give a folder of recordings, simulated or eegbci"
        )
    companions = [path for path in files if ending(path) in COMPANIONS]
    return RecordingManifest(root=str(root.resolve()), files=pinned(root, recordings), companions=pinned(root, companions))


def pin_eegbci(wanted: Eegbci) -> RecordingManifest:
    """Manifest of the data set `eegbci` in MNE's data folder.

    Missing files are downloaded. Raises `UserError` if a file cannot be downloaded.
    """
    try:
        files = load_data(list(range(1, wanted.subjects + 1)), wanted.runs, update_path=False, verbose="ERROR")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"prepare_recordings.recordings: eegbci cannot be downloaded ({reason}); connect to a network for its first use, "
            "or give a folder of recordings or simulated"
        ) from None
    root = Path(files[0]).parents[1]
    return RecordingManifest(root=str(root.resolve()), files=pinned(root, map(Path, files)))


def recording_manifest(folder: Path) -> tuple[Path, list[str]]:
    """Root, and paths below it, of the recordings that prepare_recordings listed in `folder`.

    Raises `UserError` if there is no manifest, or if a file is missing or has changed since it was listed.
    """
    manifest = read_manifest(RecordingManifest, folder, "prepare_recordings")
    root = folder / manifest.root
    check_unchanged(root, [*manifest.files, *manifest.companions], "prepare_recordings")
    return root, [file.path for file in manifest.files]
