"""Recordings that are one and the same, under two names."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from mfr.sources.manifest import sha256

SAMPLED = 1 << 16  # bytes compared at the start, in the middle and at the end of a file, before all of it is read


def identical(recordings: Mapping[int, list[Path]]) -> list[tuple[int, int]]:
    """Pairs of recordings with identical samples: the first of a group, and each of the others.

    Each recording is given by its files, as `Contents.files` lists them. If its samples are not in its first file, only the
    files with samples are compared, because two headers may name one file. Whole files are read only if their sizes and some
    of their bytes agree, so that a sound corpus is not read a second time.
    """
    samples = {key: files[1:] or files for key, files in recordings.items()}
    groups = [list(samples)]
    for feature in (_sizes, _sampled, sha256):
        parts: dict[tuple[int, str], list[int]] = defaultdict(list)
        for number, group in enumerate(groups):
            for key in group:
                parts[number, str(feature(samples[key]))].append(key)
        groups = [group for group in parts.values() if len(group) > 1]
    return sorted((group[0], other) for group in groups for other in group[1:])


def _sizes(files: list[Path]) -> list[int]:
    return [path.stat().st_size for path in files]


def _sampled(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        with path.open("rb") as file:
            for place in (0, size // 2, max(0, size - SAMPLED)):
                file.seek(place)
                digest.update(file.read(SAMPLED))
    return digest.hexdigest()
