"""Run the tests that need a GPU and measure training, matching and dumping on it, in less than eight minutes.

Each section runs in a process of its own, with a time limit; if it fails, its error is reported and the others go on. Writes
gpu.json, and gpu.txt with tables. `benchmarks/gpu.sh` first installs what is missing.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np
import torch
from pydantic import BaseModel

from benchmarks import gpu_sections as sections
from benchmarks.gpu_figures import FULL, SMALL, Activations, EndToEnd, MatchingFigures, Outcome, Sizes, StepFigures
from mfr.runtime.provenance import commit

TOTAL_S = 460.0  # of all sections
LOG_LINES = 3  # of a section's output that describe its failure


class Machine(BaseModel):
    """Where and when the figures were measured. The device is `cpu` without a GPU."""

    date: str
    commit: str | None
    device: str
    memory_gib: float
    driver: str | None
    cuda: str | None
    torch: str
    numpy: str
    numba: str
    python: str
    cores: int


class Ended(BaseModel):
    """How long a section took, and why it failed if it did."""

    section: str
    seconds: float
    error: str | None


class Report(BaseModel):
    """All figures of one run. A section that failed has those that it measured before."""

    machine: list[Machine] = []
    tests: list[Outcome] = []
    steps: list[StepFigures] = []
    matchings: list[MatchingFigures] = []
    end_to_end: list[EndToEnd] = []
    activations: list[Activations] = []
    sections: list[Ended] = []

    def failed(self) -> bool:
        """Whether a section or a test failed."""
        return any(own.error for own in self.sections) or any(own.outcome == "failed" for own in self.tests)


@dataclass(frozen=True)
class Section:
    """What is measured, in at most `limit_s` seconds, for a field of `Report`."""

    field: str
    measure: Callable[[Sizes], Iterator[BaseModel]]
    limit_s: float


def machine(_: Sizes) -> Iterator[Machine]:
    """Describe this machine."""
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    memory = gpu.total_memory if gpu else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        device=gpu.name if gpu else "cpu",
        memory_gib=memory / 2**30,
        driver=_driver(),
        cuda=torch.version.cuda,
        torch=torch.__version__,
        numpy=np.__version__,
        numba=numba.__version__,
        python=platform.python_version(),
        cores=sections.CORES,
    )


def _driver() -> str | None:
    try:
        words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(words, capture_output=True, text=True).stdout.strip() or None
    except FileNotFoundError:
        return None


# The most important figures come first: the last sections have what is left of the time.
SECTIONS = {
    "machine": Section("machine", machine, 30),
    "tests": Section("tests", sections.tests, 90),
    "S": Section("steps", partial(sections.steps, name="S"), 45),
    "end to end": Section("end_to_end", partial(sections.end_to_end, refresh=50), 90),
    "G": Section("steps", partial(sections.steps, name="G"), 60),
    "E": Section("steps", partial(sections.steps, name="E"), 60),
    "XL": Section("steps", partial(sections.steps, name="XL"), 110),
    "activations": Section("activations", sections.activations, 60),
    "end to end, matching at every step": Section("end_to_end", partial(sections.end_to_end, refresh=1), 90),
    "matchings": Section("matchings", sections.matchings, 60),
}


def measure(sizes: Sizes, chosen: dict[str, Section], total_s: float = TOTAL_S) -> Report:
    """Run sections one after the other; each has its own limit, or what is left of `total_s` if that is less."""
    found: dict[str, list[object]] = defaultdict(list)
    started = time.monotonic()
    for name, section in chosen.items():
        left = total_s - (time.monotonic() - started)
        ended, figures = limited(name, section, sizes, min(section.limit_s, left))
        found["sections"].append(ended)
        found[section.field] += figures
        print(f"{name}: {ended.seconds:.0f} s{f', failed: {ended.error}' if ended.error else ''}", file=sys.stderr, flush=True)
    return Report.model_validate(found)


def limited(name: str, section: Section, sizes: Sizes, limit_s: float) -> tuple[Ended, list[object]]:
    """Run a section in a process of its own, for `limit_s` seconds at most; also returns its figures, parsed from JSON."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures, log = Path(folder) / "figures", Path(folder) / "log"
        # A copy of this process needs no second import of torch. CUDA starts only in the copies.
        process = get_context("fork").Process(target=_section, args=(section, sizes, figures, log))
        process.start()
        process.join(max(limit_s, 0))
        error = None
        if process.is_alive():
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            error = f"stopped after {limit_s:.0f} s; {_end(log)}"
        elif process.exitcode:
            error = f"exit status {process.exitcode}; {_end(log)}"
        lines = figures.read_text().splitlines() if figures.exists() else []
    return Ended(section=name, seconds=time.monotonic() - started, error=error), [json.loads(line) for line in lines]


def _section(section: Section, sizes: Sizes, figures: Path, log: Path) -> None:
    """Write figures as lines of JSON, and all other output to `log`."""
    os.setsid()
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    with figures.open("w") as file:
        for each in section.measure(sizes):
            print(each.model_dump_json(), file=file, flush=True)


def _end(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return " | ".join(lines[-LOG_LINES:])[-600:] or "no output"


def table(report: Report) -> str:
    """The report as text."""
    parts = [f"{name}: {value}" for own in report.machine for name, value in own]
    parts += ["", _tests(report.tests)]
    for rows in (report.steps, report.end_to_end, report.activations, report.matchings):
        if rows:
            parts += ["", _columns(rows)]
    parts += ["", *(f"{own.section}: {own.seconds:.0f} s" + (f": {own.error}" if own.error else "") for own in report.sections)]
    return "\n".join(parts) + "\n"


def _tests(tests: list[Outcome]) -> str:
    counts = {outcome: sum(own.outcome == outcome for own in tests) for outcome in ("passed", "failed", "skipped")}
    lines = ["tests: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())]
    return "\n".join(lines + [f"  {own.outcome}: {own.name}: {own.message}" for own in tests if own.outcome == "failed"])


def _columns(rows: Sequence[BaseModel]) -> str:
    """Figures as a table with a row per name and a column per element of `rows`."""
    cells = [[name, *(_cell(getattr(row, name)) for row in rows)] for name in type(rows[0]).model_fields]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return 1 if a section or a test failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, which only show that everything runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the results (default: benchmarks)")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help="sections to run (default: all)")
    arguments = parser.parse_args(argv)
    chosen = {name: SECTIONS[name] for name in arguments.only or SECTIONS}
    report = measure(SMALL if arguments.small else FULL, chosen)
    (arguments.out / "gpu.json").write_text(report.model_dump_json(indent=2) + "\n")
    (arguments.out / "gpu.txt").write_text(table(report))
    print(table(report), end="")
    return int(report.failed())


if __name__ == "__main__":
    sys.exit(main())
