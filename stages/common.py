"""What every stage does alike: its command line, its errors, and the line that sums it up. Nothing here changes a result."""

import argparse
import errno
import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from mfr.config.experiment import SOURCES, Params
from mfr.config.load import load
from mfr.config.source import SourceSection
from mfr.config.training import Method
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import Interrupted
from mfr.runtime.resume import code_in_use

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def stage_parser(module: str, summary: str | None, *options: str) -> argparse.ArgumentParser:
    """The command line of a stage: `--params`, and those of `--source`, `--method` and `--seed` that it takes."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=summary)
    parser.set_defaults(stage=module.rpartition(".")[2])
    if "source" in options:
        parser.add_argument("--source", choices=SOURCES, required=True, help="section of params.yaml")
    if "method" in options:
        parser.add_argument("--method", required=True, help="name under the source's methods")
    if "seed" in options:
        parser.add_argument("--seed", type=int, required=True, help="one of seeds")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    return parser


def call(stage: Callable[[argparse.Namespace, Params], str], arguments: argparse.Namespace) -> int:
    """Run a stage on its parameters; a user's mistake or a full disk becomes one line and exit status 1.

    `stage` returns its main figure, which ends its log: `train eeg/mfr seed 0 · 41 s · mse 0.112`. A stage that a signal
    stopped exits with 128 + the signal's number.
    """
    started = time.monotonic()
    try:
        figure = stage(arguments, load(arguments.params))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return 128 + interrupted.number
    except KeyboardInterrupt:
        print("stopped by SIGINT: the outputs are as they were; run again", file=sys.stderr)
        return 128 + signal.SIGINT
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: no such file: run the stage that makes it first", file=sys.stderr)
        return 1
    except (OSError, SafetensorError) as error:
        if not _disk_is_full(error):
            raise
        print(f"error: the disk is full ({error}): make room and run again", file=sys.stderr)
        return 1
    print(f"{title(arguments)} · {time.monotonic() - started:.0f} s · {figure}")
    return 0


def title(arguments: argparse.Namespace) -> str:
    """What a stage works on: `train eeg/mfr seed 0`."""
    given = vars(arguments)
    of = "/".join(given[name] for name in ("source", "method") if name in given)
    seed = f"seed {given['seed']}" if "seed" in given else ""
    return " ".join(filter(None, (given["stage"], of, seed)))


def _disk_is_full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    # safetensors has the system's error only in words.
    return any(f"os error {number}" in str(error) for number in DISK_FULL)


def find_method(section: SourceSection, name: str) -> Method:
    """A method of a source by its name; `UserError` lists the known ones."""
    if name not in section.methods:
        raise UserError(f"--method {name}: no such method; params.yaml has {', '.join(section.methods)}")
    return section.methods[name]


def job_key(*facts: object) -> str:
    """What identifies a job: its parameters and inputs, and the library's code that is in use.

    What a job of another key left in scratch is not used.
    """
    return hashlib.sha256(json.dumps([facts, code_in_use()]).encode()).hexdigest()
