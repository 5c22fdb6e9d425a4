"""Which recordings are studied: the files below a root."""

from pathlib import Path

from pydantic import BaseModel

from mfr.errors import UserError
from mfr.pinned import PinnedFile, check_unchanged, pinned, read_manifest


class RecordingManifest(BaseModel):
    """The files below `root`, which is absolute or relative to the manifest's folder."""

    root: str
    files: list[PinnedFile]


def pin(root: Path) -> RecordingManifest:
    """The EDF files of a user's folder and its subfolders; `UserError` where there are none."""
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"prepare_recordings.recordings: {root} {what}: give a folder of EDF files, or simulated")
    files = [path for path in root.rglob("*") if path.suffix.lower() == ".edf" and path.is_file()]
    if not files:
        raise UserError(f"prepare_recordings.recordings: {root} holds no .edf file, in its subfolders neither")
    return RecordingManifest(root=str(root.resolve()), files=pinned(root, files))


def recording_manifest(folder: Path) -> tuple[Path, list[str]]:
    """The root and the files below it that prepare_recordings listed in `folder`.

    Raises `UserError` where there is no manifest, and where a file is not what it was.
    """
    manifest = read_manifest(RecordingManifest, folder, "prepare_recordings")
    root = folder / manifest.root
    check_unchanged(root, manifest.files, "prepare_recordings")
    return root, [file.path for file in manifest.files]
