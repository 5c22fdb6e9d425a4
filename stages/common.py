"""Command line, errors and last log line of every stage; nothing here changes a result."""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from mfr.config.experiment import SOURCES, Params
from mfr.config.source import SourceSection
from mfr.config.training import Method
from mfr.runtime.command import status_of
from mfr.runtime.errors import UserError
from mfr.runtime.progress import duration
from mfr.runtime.resume import code_in_use
from stages.binding import run_bound


def stage_parser(module: str, summary: str | None, *options: str) -> argparse.ArgumentParser:
    """Argument parser of a stage.

    It takes `--params`, `--planned`, and those of `--source`, `--method` and `--seed` that `options` lists.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=summary)
    parser.set_defaults(stage=module.rpartition(".")[2])
    if "source" in options:
        parser.add_argument("--source", choices=SOURCES, required=True, help="source of vectors, a section of params.yaml")
    if "method" in options:
        parser.add_argument("--method", required=True, help="method, a key of `methods` in that section")
    if "seed" in options:
        parser.add_argument("--seed", type=int, required=True, help="seed, one of `seeds` in params.yaml")
    parser.add_argument("--planned", help="fingerprint of the parameters that the job was planned with; others are refused")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    return parser


def call(stage: Callable[[argparse.Namespace, Params], str], arguments: argparse.Namespace) -> int:
    """Run a stage on its parameters and return its exit status.

    `stage` returns its main result, for the last line of the log: `train eeg/mfr seed 0 · 41 s · mse 0.112`. A user's mistake
    or a failure of the operating system is reported in one line, with status 1. If a signal stopped the stage, the status is
    128 + its number.
    """

    def command() -> None:
        started = time.monotonic()
        _check_folder(arguments.params)
        result = run_bound(stage, arguments)
        print(f"{title(arguments)} · {duration(time.monotonic() - started)} · {result}")

    return status_of(command, when_stopped="no output is half-written; run the stage again")


def _check_folder(params: Path) -> None:
    """Raise `UserError` outside the project's folder, before the stage leaves anything there.

    The project's folder has a params.yaml or the parameter file that the user named.
    """
    if not Path("params.yaml").is_file() and params.absolute().parent != Path.cwd():
        raise UserError(f"params.yaml: no such file in {Path.cwd()}; run from the project's folder")


def title(arguments: argparse.Namespace) -> str:
    """Stage and what it works on, such as `train eeg/mfr seed 0`."""
    given = vars(arguments)
    of = "/".join(given[name] for name in ("source", "method") if name in given)
    seed = f"seed {given['seed']}" if "seed" in given else ""
    return " ".join(filter(None, (given["stage"], of, seed)))


def find_method(section: SourceSection, name: str) -> Method:
    """Method of a source by name; raises `UserError` with the known names."""
    if name not in section.methods:
        raise UserError(f"--method {name}: no such method; params.yaml has {', '.join(section.methods)}")
    return section.methods[name]


def job_key(*facts: object) -> str:
    """Hash of a job's parameters and inputs, `facts`, and of the library code in use.

    A job does not use scratch files with another key.
    """
    return hashlib.sha256(json.dumps([facts, code_in_use()]).encode()).hexdigest()
