"""Whole runs of the experiment smoke by each engine, made once for all tests."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import clone, dvc_repro, edit, snakemake

JOBS = 29


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
            make(folder)
            (folder / "made").touch()
    return folder


def run_snakemake(folder: Path) -> None:
    clone(folder)
    # Nothing restarts, so `reinit` gives what `baseline` does: DVC's cache has it once.
    edit(folder, "params.yaml", "threshold: 0.2", "threshold: 2.0")
    assert len(snakemake(folder)) == JOBS


def run_dvc(folder: Path) -> None:
    clone(folder)
    assert len(dvc_repro(folder)) == JOBS


@pytest.fixture(scope="session")
def made_by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after a whole run of Snakemake, not to be changed."""
    return made_once(tmp_path_factory, "made_by_snakemake", run_snakemake)


@pytest.fixture(scope="session")
def made_by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after a whole run of DVC, not to be changed."""
    return made_once(tmp_path_factory, "made_by_dvc", run_dvc)


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
