"""Snakemake's lock of the project's folder, which a killed run leaves behind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
from snakemake.persistence.db import is_network_filesystem

from mfr.runtime.errors import UserError

LOCKS = Path(".snakemake/locks")
RUNS = ("stages.", "workflow.run")


def remove_leftover() -> None:
    """Remove the lock of a run that was killed, and say so.

    Raises `UserError` if a run is still at work in this folder, or could be on another machine.
    """
    if not any(LOCKS.glob("*.lock")):
        return
    for process in at_work():
        command = " ".join(process.cmdline())
        raise UserError(f"{Path.cwd()}: process {process.pid} (`{command}`) is at work here; wait until it ends, or stop it")
    if is_network_filesystem(Path.cwd()):
        raise UserError(
            f"{Path.cwd()}: locked by Snakemake. No run is at work on this machine, but other machines may use this network "
            "folder; if none does, run `snakemake --unlock`"
        )
    shutil.rmtree(LOCKS)
    print("a run that was killed left its lock; no other is at work here: unlocked", flush=True)


def at_work() -> Iterator[psutil.Process]:
    """Processes of other runs in the working folder, on this machine: of Snakemake or of a stage."""
    own, here = [psutil.Process(), *psutil.Process().parents()], str(Path.cwd())
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process not in own and process.info["cwd"] == here and any(map(_is_run, process.info["cmdline"] or ())):
            yield process


def _is_run(word: str) -> bool:
    return Path(word).name == "snakemake" or word.startswith(RUNS)
