"""Whole runs of the experiment smoke, made once for all tests: left alone, and by each engine, killed in every stage."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.killing import run_and_kill
from tests.support.left_alone import SECONDS
from tests.support.project import clone, edit, run


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills; the first of several test processes fills it, and the others wait."""
    own = factory.getbasetemp()
    shared = own.parent if own.name.startswith("popen-") else own
    folder, lock = shared / name, shared / f"{name}.lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            clone(folder)
            # Nothing restarts, so `reinit` gives what `baseline` does: DVC's cache has it once.
            edit(folder, "params.yaml", "threshold: 0.2", "threshold: 2.0")
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after all stages, without an engine; not to be changed."""
    return made_once(tmp_path_factory, "left_alone", lambda folder: run(folder, "python", "-m", "tests.support.left_alone"))


@pytest.fixture(scope="session")
def made_by_snakemake(left_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after a whole run of Snakemake with kills; not to be changed."""
    seconds = json.loads((left_alone / SECONDS).read_text())
    command = ["snakemake", "--cores", "2", "--nolock"]
    return made_once(tmp_path_factory, "made_by_snakemake", lambda folder: run_and_kill(folder, command, seconds))


@pytest.fixture(scope="session")
def made_by_dvc(left_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after a whole run of DVC with kills; not to be changed."""
    seconds = json.loads((left_alone / SECONDS).read_text())
    return made_once(tmp_path_factory, "made_by_dvc", lambda folder: run_and_kill(folder, ["dvc", "repro"], seconds))


@pytest.fixture(scope="module")
def by_snakemake(made_by_snakemake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, which the tests of one module may change."""
    return _copy(made_by_snakemake, tmp_path_factory.mktemp("snakemake"))


@pytest.fixture(scope="module")
def by_dvc(made_by_dvc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, which the tests of one module may change."""
    return _copy(made_by_dvc, tmp_path_factory.mktemp("dvc"))


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)
    (to / "made").unlink()
    return to
