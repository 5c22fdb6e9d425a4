"""Run what is out of date, one line per job: `python -m workflow.run`, or `make run`.

Options are passed on to Snakemake, as in `python -m workflow.run eeg --cores 4`.
"""

import logging
import sys
from pathlib import Path

from snakemake.cli import main as snakemake
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from mfr.runtime.command import status_of
from workflow.lock import remove_leftover

PLUGIN = "job-lines"
USUAL = ("--cores", "all", "--resources", "gpu=1")
LAST_LINES = 3
LOCKLESS = {"-n", "--dry-run", "--dryrun", "--nolock", "--unlock"}  # options with which Snakemake takes no lock


class LogHandler(LogHandlerBase):
    """Prints `[23/78] train eeg/mfr seed 0 · 41 s · mse 0.112` for each job that ends, and what went wrong."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.logs: dict[int, str] = {}
        self.finished: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one of Snakemake's events."""
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            self.logs[record.jobid] = " ".join(record.log)  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_FINISHED:
            self.finished.append(record.job_id)  # type: ignore[attr-defined]
        elif event == LogEvent.PROGRESS:
            self._print_finished(f"[{record.done}/{record.total}]")  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_ERROR:
            self._print_failed(record.jobid)  # type: ignore[attr-defined]
        elif event is None and (record.levelno >= logging.ERROR or "Nothing to be done" in record.getMessage()):
            print(record.getMessage(), flush=True)

    def _print_finished(self, number: str) -> None:
        for job in self.finished:
            if lines := _lines(self.logs.get(job, "")):
                print(number, lines[-1], flush=True)
        self.finished.clear()

    def _print_failed(self, job: int) -> None:
        log = self.logs.get(job, "")
        print(f"failed: {log}", *_lines(log)[-LAST_LINES:], sep="\n    ", flush=True)


def _lines(log: str) -> list[str]:
    return Path(log).read_text(errors="replace").splitlines() if Path(log).is_file() else []


def main(argv: list[str] | None = None) -> int:
    """Run Snakemake with its profile and this output; return its exit status."""
    given = sys.argv[1:] if argv is None else argv
    LoggerPluginRegistry().register_plugin(PLUGIN, sys.modules[__name__])
    usual = [] if "--cores" in given else list(USUAL)
    return status_of(lambda: _run([*given, *usual, "--logger", PLUGIN]), "finished jobs are kept; run again to go on")


def _run(words: list[str]) -> None:
    if not LOCKLESS & set(words):
        remove_leftover()
    snakemake(words)


if __name__ == "__main__":
    sys.exit(main())
