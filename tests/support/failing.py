"""Real failures of the operating system, for programs in processes of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


def failing(folder: Path, call: str, number: int, path: str) -> dict[str, str]:
    """Variables with which a process's `call` (flock, open, read or write) fails on paths that contain `path`."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    library = folder / "failing.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    wanted = {"LD_PRELOAD": str(library), "FAIL_CALL": call, "FAIL_ERRNO": str(number), "FAIL_PATH": path}
    return {**os.environ, "PYTHONPATH": str(ROOT), **wanted}


def mounted(options: str, *command: str | Path) -> list[str | Path]:
    """A command that runs with a tmpfs of such options mounted at the folder `small`; skips if that is not permitted."""
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    script = f'mkdir -p small && mount -t tmpfs -o {options} tmpfs small && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command]
