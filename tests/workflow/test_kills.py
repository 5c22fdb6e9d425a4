"""A whole run that is killed in every stage, again and again, ends with the bytes of one that was left alone."""

import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.support.project import clone, edit, environment, run

RUN = {
    "snakemake": ["snakemake", "--cores", "2", "--nolock"],
    "dvc": ["dvc", "repro"],
}
KILLS = 15  # at least, of 19 stages of all sources: a stage may end before it is killed


def stage_of(words: list[str]) -> tuple[str, str] | None:
    """Stage and source of a command; its source is empty for a stage of one source."""
    if "-m" not in words or not (found := re.fullmatch(r"stages\.(\w+)", words[words.index("-m") + 1])):
        return None
    return found[1], words[words.index("--source") + 1] if "--source" in words else ""


def usual_seconds(finished: Path) -> dict[tuple[str, str], float]:
    """Processor time of each stage in a run that was left alone, by Snakemake's benchmark files."""
    seconds = {}
    for file in sorted(finished.glob("logs/**/*.tsv")):
        source = file.relative_to(finished / "logs").parts[0]
        took = float(pd.read_csv(file, sep="\t")["cpu_time"].iloc[0])
        seconds[file.stem, source if file.stem in ("train", "evaluate", "describe", "compare", "export") else ""] = took
    return seconds


def running(engine: psutil.Process) -> Iterator[tuple[psutil.Process, tuple[str, str]]]:
    """The stages that an engine is running."""
    for child in engine.children(recursive=True):
        try:
            if child.name().startswith("python") and (stage := stage_of(child.cmdline())):
                yield child, stage
        except psutil.NoSuchProcess:
            continue


def kill(engine: psutil.Process) -> None:
    """The engine first: DVC rewrites its own lock file when its stage dies, and cut short that file stops it for good."""
    for each in [engine, *engine.children(recursive=True)]:
        each.kill()
    engine.wait()


def run_and_kill(folder: Path, command: list[str], left: dict[tuple[str, str], float], share: float) -> tuple[str, str] | None:
    """Run an engine and kill it in the first stage of `left`, after `share` of its usual work; return the stage, or None."""
    with (folder / "output").open("w") as output:
        engine = psutil.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        while engine.poll() is None:
            for child, stage in running(engine):
                if stage in left and has_used(child, share * left.pop(stage)):
                    kill(engine)
                    return stage
            time.sleep(0.02)
    assert engine.returncode == 0, (folder / "output").read_text()[-5000:]
    return None


def has_used(process: psutil.Process, seconds: float) -> bool:
    """Wait until a process has used so much processor time; whether it did before it ended."""
    try:
        while process.status() != psutil.STATUS_ZOMBIE:
            if sum(process.cpu_times()[:2]) >= seconds:
                return True
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        pass
    return False


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that the stages made, but for those that name a date and a commit."""
    places = ("data", "runs", "exports", "features", "results", "metrics")
    files = [file for place in places for file in (folder / place).rglob("*") if file.is_file()]
    kept = [file for file in files if file.name not in ("origin.json", ".snakemake_timestamp", ".gitignore")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in kept}


@pytest.mark.parametrize("engine", RUN)
def test_a_run_that_is_killed_in_every_stage_ends_with_the_same_bytes(
    engine: str, made_by_snakemake: Path, tmp_path: Path
) -> None:
    clone(tmp_path)
    edit(tmp_path, "params.yaml", "threshold: 0.2", "threshold: 2.0")
    moments, left, killed = random.Random(), usual_seconds(made_by_snakemake), []
    assert len(left) == 19
    while stage := run_and_kill(tmp_path, RUN[engine], left, moments.uniform(0.3, 0.9)):
        killed.append(stage)
    assert len(killed) >= KILLS, killed
    if engine == "dvc":
        run(tmp_path, "dvc", "status", "--quiet")
    expected, found = outputs(made_by_snakemake), outputs(tmp_path)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
