"""Whose a recording is, by its path."""

import re
from pathlib import PurePosixPath

from mfr.runtime.errors import UnusableError

TUH_NAME = re.compile(r"([a-z0-9]{8})_s\d{3}_t\d{3}")
BIDS_NAME = re.compile(r"(sub-[A-Za-z0-9]+)(?:_.*)?")


def subject_of(path: str, pattern: str | None = None) -> str:
    """Whose recording a path, relative to the folder of recordings and with slashes, is.

    The one group of `pattern`, where it is found in the path. Without a pattern the first that fits: the name of TUH EEG
    (`aaaaaaaa_s001_t000.edf` → aaaaaaaa), a part of the path in BIDS' form (`sub-01/…` or `sub-01_task-rest_eeg.edf` →
    sub-01), the topmost folder, the file's name without its ending. One name is one subject wherever its files lie, and is on
    one side of the split; whoever has two names can be on two.

    Raises `UnusableError` where the pattern does not fit.
    """
    if pattern is not None:
        found = re.search(pattern, path)
        if not found or not found[1]:
            raise UnusableError(f"no subject: preprocess_eeg.subject_pattern is not found in {path}")
        return found[1]
    place = PurePosixPath(path)
    return _by_convention(place) or (_stem(place) if is_by_file(path) else place.parts[0])


def is_by_file(path: str) -> bool:
    """Whether `subject_of`, without a pattern, takes a file's own name, which may be that of one session of several."""
    place = PurePosixPath(path)
    return len(place.parts) == 1 and _by_convention(place) is None


def _by_convention(place: PurePosixPath) -> str | None:
    stem = _stem(place)
    tuh = TUH_NAME.fullmatch(stem)
    if tuh:
        return tuh[1]
    return next((match[1] for match in map(BIDS_NAME.fullmatch, [*place.parts[:-1], stem]) if match), None)


def _stem(place: PurePosixPath) -> str:
    return place.name.removesuffix(".gz").rpartition(".")[0]
