"""Shared by the benchmarks: timing, peak memory, and printing of figures."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Elapsed seconds of a call, including its work on a GPU."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def highest_rss_kb() -> int:
    """Peak memory of this process so far, in KiB.

    getrusage would start from the peak of the parent process.
    """
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def show(figures: BaseModel, as_json: bool) -> None:
    """Print the figures as a table, or as JSON."""
    if as_json:
        print(figures.model_dump_json(indent=2))
        return
    for name, value in figures:
        print(f"{name:24}{value:.3g}" if isinstance(value, float) else f"{name:24}{value}")
