"""Pin the recordings to study, the files below a root, in a manifest."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mne.datasets.eegbci import load_data
from pydantic import Field

from mfr.config.eeg import Eegbci
from mfr.runtime.errors import UserError
from mfr.runtime.records import Record
from mfr.runtime.wording import counted, listed
from mfr.sources.eeg.bids import CHANNELS, data_sets, not_raw
from mfr.sources.manifest import LeftOut, PinnedFile, check_unchanged, pinned, read_manifest, walk

ENDINGS = (".edf", ".bdf", ".gdf", ".fif", ".fif.gz", ".vhdr", ".set")
COMPANIONS = (".eeg", ".vmrk", ".dat", ".fdt")  # files that MNE reads with a .vhdr or .set file
# Endings of recordings in formats that are not read. Other programs use .mat, .txt, .bin and the like for anything.
FILES = "cnt egi raw nxe ahdr mef nedf nwb xdf trc lay cdt dap rs3 rec ns[1-6] sqd con snirf easy erd acq smr smrx plx"
FOLDERS = re.compile(r".*\.(mff|mefd|ds|nwb)", re.IGNORECASE)
PACKED = re.compile(rf".*({'|'.join(map(re.escape, (*ENDINGS, *COMPANIONS)))})\.(gz|bz2|xz|zst|zip|7z)", re.IGNORECASE)
FOREIGN = re.compile(rf".*\.({'|'.join(FILES.split())})(\.gz)?", re.IGNORECASE)
SHOWN_ENDINGS, SHOWN_REASONS = 10, 5


class RecordingManifest(Record):
    """The recordings below `root`, the companion files that they refer to, and what else there is.

    `root` is absolute, or relative to the manifest's folder. Companions are files with samples or markers, and BIDS' tables of
    channels. `left_out` are recordings, or what may be one, that are not read.
    """

    root: str
    files: list[PinnedFile]
    companions: list[PinnedFile] = Field(default_factory=list)
    left_out: list[LeftOut] = Field(default_factory=list)


def ending(path: Path) -> str:
    """The one of `ENDINGS` or `COMPANIONS` that a file's name has, in any case; or `""`."""
    return next((end for end in (*ENDINGS, *COMPANIONS) if path.name.lower().endswith(end)), "")


@dataclass(frozen=True)
class _Folder:
    """What a folder contains: recordings, companions, recordings that are left out, and files of another kind."""

    recordings: list[Path]
    companions: list[Path]
    left_out: list[LeftOut]
    others: list[Path]


def pin(root: Path) -> tuple[RecordingManifest, list[str]]:
    """Manifest of a user's recordings in `root` and its subfolders, and lines about what is not read.

    Raises `UserError` if there is no recording.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"prepare_recordings.recordings: {root} {what}; give a folder of recordings, simulated or eegbci")
    found = _sorted(root)
    if not found.recordings:
        why = _counts([entry.reason for entry in found.left_out], SHOWN_REASONS)
        raise UserError(
            f"prepare_recordings.recordings: {root} and its subfolders contain no file with the ending {', '.join(ENDINGS)}"
            f"{why and f' that can be read (left out: {why}; the first is {found.left_out[0].path})'}; "
            "give a folder of recordings, simulated or eegbci"
        )
    manifest = RecordingManifest(
        root=str(root.resolve()),
        files=pinned(root, found.recordings),
        companions=pinned(root, found.companions),
        left_out=found.left_out,
    )
    return manifest, _lines(found)


def _lines(found: _Folder) -> list[str]:
    lines = []
    if found.left_out:
        why = _counts([entry.reason for entry in found.left_out], SHOWN_REASONS)
        lines.append(f"prepare_recordings: left out, with a row each in recordings.csv: {why}")
    if found.others:
        kinds = _counts([path.suffix.lower() or "without ending" for path in found.others], SHOWN_ENDINGS)
        lines.append(f"prepare_recordings: not read, because their endings are not of recordings: {kinds}")
    return lines


def _counts(items: list[str], most: int) -> str:
    """Number of times that each item occurs, the most frequent first."""
    return listed([f"{count} × {item}" for item, count in Counter(items).most_common()], most)


def _sorted(root: Path) -> _Folder:
    """Files below `root` by what they are."""
    found = walk(root, "recording", repeats=True)
    unreachable = {entry.path: entry.reason for entry in found.left_out}
    names = {path.relative_to(root).as_posix(): path for path in found.files} | dict.fromkeys(unreachable, None)
    sets = data_sets(names)
    within: dict[str, list[str]] = {}
    kinds: dict[str, list[Path]] = {"recordings": [], "companions": [], "others": []}
    left_out = []
    for name, path in names.items():
        if folder := _format_folder(name) or not_raw(name, sets):
            within.setdefault(folder, []).append(name)
        elif reason := unreachable.get(name) or _foreign(name):
            left_out.append(LeftOut(path=name, reason=reason))
        elif path is not None:
            kinds[_kind(path)].append(path)
    left_out += [entry for folder, inside in within.items() if (entry := _left_folder(folder, inside))]
    return _Folder(kinds["recordings"], kinds["companions"], sorted(left_out, key=lambda entry: entry.path), kinds["others"])


def _kind(path: Path) -> str:
    if ending(path) in ENDINGS:
        return "recordings"
    return "companions" if ending(path) or path.name.endswith(CHANNELS) else "others"


def _foreign(name: str) -> str | None:
    """Why a file with such a name is not read, if it looks like a recording."""
    if PACKED.fullmatch(name) and not name.lower().endswith(".fif.gz"):
        return "packed: unpack it to have it read"
    kind = FOREIGN.fullmatch(name)
    return _unsupported(kind[1]) if kind else None


def _unsupported(suffix: str) -> str:
    return f"format is not supported: .{suffix.lower()} (convert it to EDF, BrainVision or FIF)"


def _format_folder(name: str) -> str | None:
    """The outermost folder in `name` that is one recording of a format that is not read."""
    folders = [folder for folder in PurePosixPath(name).parents if FOLDERS.fullmatch(folder.name)]
    return folders[-1].as_posix() if folders else None


def _left_folder(folder: str, inside: list[str]) -> LeftOut | None:
    """Why a folder is left out; None if it contains no recording."""
    kind = FOLDERS.fullmatch(folder)
    if kind:
        return LeftOut(path=folder, reason=_unsupported(kind[1]))
    recordings = [name for name in inside if ending(Path(name)) in ENDINGS or _foreign(name) or _format_folder(name)]
    what = f"BIDS folder that is not for raw data: {counted(len(recordings), 'recording')}"
    return LeftOut(path=folder, reason=f"{what} (to study it, set recordings to this folder)") if recordings else None


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


def recording_manifest(folder: Path) -> tuple[Path, RecordingManifest]:
    """Root of the recordings that prepare_recordings listed in `folder`, and the list.

    Raises `UserError` if there is no manifest, or if a file is missing or has changed since it was listed.
    """
    manifest = read_manifest(RecordingManifest, folder, "prepare_recordings")
    root = folder / manifest.root
    check_unchanged(root, [*manifest.files, *manifest.companions], "prepare_recordings")
    return root, manifest
