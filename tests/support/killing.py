"""Run an engine to its end, killing it in every stage on the way."""

import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.project import environment

KILLED = "killed.json"
IMPORT_S = 2.0  # processor time before a stage works, at least


def run_and_kill(folder: Path, command: list[str], seconds: dict[str, float]) -> None:
    """Run `command` in `folder` until it ends by itself, killing it once in each stage.

    `seconds` is the processor time of each stage's work. Writes killed.json, the stages in which it was killed: a stage may
    end before its time.
    """
    moments, left, killed = random.Random(), dict(seconds), list[str]()
    while stage := _killed_in(folder, command, left, moments):
        killed.append(stage)
    (folder / KILLED).write_text(json.dumps(killed))


def _killed_in(folder: Path, command: list[str], left: dict[str, float], moments: random.Random) -> str | None:
    """The stage of `left` in which an engine was killed; None if it ended by itself."""
    with (folder / "output").open("w") as output:
        engine = psutil.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        while engine.poll() is None:
            for child, stage in _running(engine):
                if stage in left and _has_used(child, moments.uniform(0.4, 1) * (IMPORT_S + left.pop(stage))):
                    kill(engine)
                    return stage
            time.sleep(0.02)
    assert engine.returncode == 0, (folder / "output").read_text()[-5000:]
    return None


def kill(engine: psutil.Process) -> None:
    """The engine first: DVC rewrites its own lock file when its stage dies, and cut short that file stops it for good."""
    for each in [engine, *engine.children(recursive=True)]:
        each.kill()
    engine.wait()


def _running(engine: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    for child in engine.children(recursive=True):
        try:
            if child.name().startswith("python") and (stage := _stage_of(child.cmdline())):
                yield child, stage
        except psutil.NoSuchProcess:
            continue


def _stage_of(words: list[str]) -> str | None:
    """Stage and source of a command, such as `train eeg`."""
    if "-m" not in words or not (found := re.fullmatch(r"stages\.(\w+)", words[words.index("-m") + 1])):
        return None
    source = words[words.index("--source") + 1] if "--source" in words else ""
    return f"{found[1]} {source}".strip()


def _has_used(process: psutil.Process, seconds: float) -> bool:
    """Wait until a process has used so much processor time; whether it did before it ended."""
    try:
        while process.status() != psutil.STATUS_ZOMBIE:
            if sum(process.cpu_times()[:2]) >= seconds:
                return True
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        pass
    return False
