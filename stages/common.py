"""What every stage does alike: its command line, its errors, its outputs."""

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mfr import paths
from mfr.errors import UserError
from mfr.interruption import Interrupted
from mfr.method import Method
from mfr.params import SOURCES, Params, SourceSection
from mfr.params_file import load
from mfr.parts import code_in_use

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def stage_parser(module: str, summary: str | None, *options: str) -> argparse.ArgumentParser:
    """The command line of a stage: `--params`, and those of `--source`, `--method` and `--seed` that it takes."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=summary)
    if "source" in options:
        parser.add_argument("--source", choices=SOURCES, required=True, help="section of params.yaml")
    if "method" in options:
        parser.add_argument("--method", required=True, help="name under the source's methods")
    if "seed" in options:
        parser.add_argument("--seed", type=int, required=True, help="one of seeds")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    return parser


def call(stage: Callable[[argparse.Namespace, Params], None], arguments: argparse.Namespace) -> int:
    """Run a stage on its parameters; a user's mistake or a full disk becomes one line and exit status 1.

    A stage that a signal stopped exits with 128 + the signal's number.
    """
    try:
        stage(arguments, load(arguments.params))
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
    return 0


def _disk_is_full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    # safetensors tells the system's error in words alone.
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


def check_outside(folder: Path, output: Path, parameter: str) -> None:
    """Raise `UserError` where the folder that a parameter names lies in an output, which is deleted for the new one."""
    if folder.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{parameter}: {folder} lies in this stage's output {output}, which is deleted: move it")


@contextmanager
def writing(*outputs: Path) -> Iterator[list[Path]]:
    """Temporary names to write to, one for each output, moved into place together when the block succeeds.

    A block that fails leaves earlier outputs as they were and nothing half-written. Raises `UserError` where another
    process is writing the same outputs.
    """
    with _lock(outputs[0]):
        temporary = [output.with_name(f".{output.stem}.part{output.suffix}") for output in outputs]
        for output, part in zip(outputs, temporary, strict=True):
            output.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
        try:
            yield temporary
            for output, part in zip(outputs, temporary, strict=True):
                if part.is_dir():
                    _remove(output)
                os.replace(part, output)
        finally:
            for part in temporary:
                _remove(part)


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    name = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
    folder = paths.SCRATCH / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{output} is being written by another process: wait until it is done, or stop it") from None
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
