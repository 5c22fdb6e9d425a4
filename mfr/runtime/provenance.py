"""Provenance of a result: date, commit, versions and machine."""

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

PACKAGES = ("torch", "numpy", "scipy", "numba", "mne", "transformer-lens")


@dataclass(frozen=True)
class Provenance:
    """When, where and with which code something was computed.

    `commit` ends in `-dirty` if tracked files had uncommitted changes.
    """

    date: str
    commit: str | None
    python: str
    packages: dict[str, str]
    machine: str


def provenance() -> Provenance:
    """Provenance of what this process computes now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    packages = {name: version(name) for name in PACKAGES}
    return Provenance(now, commit(), platform.python_version(), packages, f"{platform.system()} {platform.machine()}")


def commit() -> str | None:
    """Commit of the working folder; None if it is not in a git repository."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(describe, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
