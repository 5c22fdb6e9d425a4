"""The subject of a recording, from its path."""

import re
from pathlib import PurePosixPath

from mfr.runtime.errors import UnusableError

TUH_NAME = re.compile(r"([a-z0-9]{8})_s\d{3}_t\d{3}")
BIDS_NAME = re.compile(r"(sub-[A-Za-z0-9]+)(?:_.*)?")


def subject_of(path: str, pattern: str | None = None) -> str:
    """Subject of the recording at `path`, relative to the folder of recordings with slashes.

    With a `pattern`, the subject is its one group. Without one, it is the first of these that applies:

    1. TUH EEG's name: `aaaaaaaa_s001_t000.edf` → aaaaaaaa
    2. a BIDS name anywhere in the path: `sub-01/…` or `sub-01_task-rest_eeg.edf` → sub-01
    3. the topmost folder
    4. the file's name without its ending

    All recordings with one subject name are on the same side of the split, whatever their folders. A person with two names can
    be on two sides.

    Raises `UnusableError` if `pattern` does not match.
    """
    if pattern is not None:
        found = re.search(pattern, path)
        if not found or not found[1]:
            raise UnusableError(f"no subject: preprocess_eeg.subject_pattern does not match; its path is {path}")
        return found[1]
    place = PurePosixPath(path)
    return _by_convention(place) or (_stem(place) if is_by_file(path) else place.parts[0])


def is_by_file(path: str) -> bool:
    """Whether `subject_of`, without a pattern, uses the file's own name.

    Such a name may be of only one of a subject's sessions.
    """
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
