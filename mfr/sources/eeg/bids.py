"""What BIDS says about files: folders that are not raw recordings, and channels that are bad or no EEG."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mfr.runtime.errors import UnusableError, first_sentence
from mfr.sources.eeg.electrodes import electrodes_of

NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")  # at the root of a data set
DESCRIPTION = "dataset_description.json"
SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
CHANNELS = "channels.tsv"


def data_sets(paths: Iterable[str]) -> set[PurePosixPath]:
    """Folders that are BIDS data sets: those with a description, or with folders of subjects.

    `paths` are those of all files, relative to one folder, with slashes.
    """
    found = set()
    for place in map(PurePosixPath, paths):
        if place.name == DESCRIPTION:
            found.add(place.parent)
        found.update(folder.parent for folder in place.parents if SUBJECT.fullmatch(folder.name))
    return found


def not_raw(path: str, sets: set[PurePosixPath]) -> str | None:
    """The folder of a data set in `sets` that contains `path` and is not for raw data; None if there is none."""
    folders = [folder for folder in PurePosixPath(path).parents if folder.name in NOT_RAW and folder.parent in sets]
    return folders[-1].as_posix() if folders else None


@dataclass(frozen=True)
class Channels:
    """Channels of a recording that its `*_channels.tsv` marks as bad or as no EEG.

    Lists have one electrode per row of the table.
    """

    file: str
    electrodes: list[str]
    types: list[str]
    statuses: list[str]

    @property
    def others(self) -> dict[str, str]:
        """Types of the channels that are no EEG, by their electrodes."""
        types = zip(self.electrodes, self.types, strict=True)
        return {name: kind for name, kind in types if kind not in ("EEG", "N/A", "")}

    def eeg(self, labels: Sequence[str]) -> list[str]:
        """Those of a recording's labels that are not of another type."""
        return [label for label, name in zip(labels, electrodes_of(labels), strict=True) if name not in self.others]

    def check(self, electrodes: Sequence[str]) -> None:
        """Raise `UnusableError` if one of `electrodes` is bad or no EEG."""
        other = [f"{name} ({kind})" for name, kind in self.others.items() if name in electrodes]
        if other:
            raise UnusableError(f"channel of another type in {self.file}: {', '.join(other)}")
        statuses = zip(self.electrodes, self.statuses, strict=True)
        bad = [name for name, status in statuses if name in electrodes and status == "bad"]
        if bad:
            raise UnusableError(f"channel marked bad in {self.file}: {', '.join(bad)}")


def table_of(path: str, tables: Iterable[str], root: Path) -> Channels | None:
    """What the table of channels of the recording at `path` says; None if it has no table.

    `tables` are the paths of all such tables. By BIDS' principle of inheritance, a table in the recording's folder or above it
    is valid for the recording if the recording's name has all entities of the table's; the nearest one is. Raises
    `UnusableError` if the table cannot be read.
    """
    name = PurePosixPath(path).name.partition(".")[0]
    above = {folder: depth for depth, folder in enumerate(PurePosixPath(path).parents)}
    valid = [
        table
        for table in map(PurePosixPath, tables)
        if table.parent in above and set(_entities(table.name.removesuffix(CHANNELS))) <= set(_entities(name))
    ]
    if not valid:
        return None
    nearest = min(valid, key=lambda table: (above[table.parent], -len(_entities(table.name)), table))
    return _read(root, nearest)


def _entities(name: str) -> list[str]:
    return [part for part in name.split("_") if "-" in part]


def _read(root: Path, table: PurePosixPath) -> Channels:
    try:
        with (root / table).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableError(f"{table.name} cannot be read: {first_sentence(error)}") from None
    if any(not row.get("name") for row in rows):
        raise UnusableError(f"{table.name} cannot be read: a row has no name of a channel")
    names, types, statuses = ([(row.get(column) or "").strip() for row in rows] for column in ("name", "type", "status"))
    return Channels(table.name, electrodes_of(names), [kind.upper() for kind in types], [status.lower() for status in statuses])
