"""Provenance of a result: date, commit, versions and machine."""

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

# Not results themselves, which a run changes one after another.
MAKES_RESULTS = ("mfr", "stages", "params.yaml", "requirements.lock")
PACKAGES = ("torch", "numpy", "scipy", "numba", "mne", "transformer-lens")


@dataclass(frozen=True)
class Provenance:
    """When, where and with which code something was computed.

    `commit` ends in `-dirty` if the code or the parameters differed from it.
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
    """The commit of the working folder; it ends in `-dirty` if what makes results differs from it. None outside git."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", *MAKES_RESULTS)
    return f"{head}-dirty" if head and changed else head or None


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""
