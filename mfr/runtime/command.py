"""Run a command of the project so that whatever ends it is one line and an exit status."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from mfr.runtime.errors import UserError
from mfr.runtime.interruption import Interrupted, Interruption, stopped_by
from mfr.runtime.os_errors import FAILURES, explained


def status_of(command: Callable[[], int | None], when_stopped: str = "run again") -> int:
    """Run `command` and return its exit status.

    A user's mistake or a failure of the operating system gives one line on stderr and status 1. SIGINT or SIGTERM gives one
    line, which ends in `when_stopped` unless the command said what it saved, and 128 + the signal's number. Any other exception
    is a bug and is raised.
    """
    interruption = Interruption()
    try:
        with interruption:
            status = command() or 0
            sys.stdout.flush()
            return status
    except UserError as error:
        return _failed(str(error))
    except Interrupted as interrupted:
        _say(str(interrupted) if interrupted.saved else f"{interrupted}: {when_stopped}")
        return 128 + interrupted.number
    except SystemExit:
        if interruption.number is None:
            raise
        # The command caught the interruption and ended by itself, as Snakemake does.
        _say(f"{stopped_by(interruption.number)}: {when_stopped}")
        return 128 + interruption.number
    except FAILURES as error:
        sentence = explained(error)
        if sentence is None:
            raise
        return _failed(sentence)


def _failed(sentence: str) -> int:
    _say(f"error: {sentence}")
    try:
        sys.stdout.flush()
    except OSError:
        # What is left in the buffer cannot be written: without this, Python tries again as it exits, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _say(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
