"""What the benchmarks share: seconds, memory, and how figures are printed."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, with all that it leaves to a GPU."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def highest_rss_kb() -> int:
    """The most memory that this process has held so far, in KiB; unlike getrusage's, not its parent's at first."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def show(figures: BaseModel, as_json: bool) -> None:
    """Print a table, or JSON."""
    if as_json:
        print(figures.model_dump_json(indent=2))
        return
    for name, value in figures:
        print(f"{name:24}{value:.3g}" if isinstance(value, float) else f"{name:24}{value}")
