"""A temporary clone of the project on the experiment smoke, and what its two engines say of themselves."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from snakemake.api import SnakemakeApi
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

from tests.conftest import ROOT
from tests.support.small_project import SMOKE


def clone(folder: Path) -> Path:
    """The project's files, as they are now, in a git repository of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "results/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "params.yaml").write_text(SMOKE)
    run(folder, "git", "init", "--quiet")
    commit(folder)
    return folder


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Output of a command in the clone, which must succeed, or fail where `fails` is set."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())
    output = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"{' '.join(command)} gave {done.returncode}:\n{output[-5000:]}"
    return output


def environment() -> dict[str, str]:
    """Variables for a command in the clone: this interpreter's programs, and none of this folder's modules."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": ""}


def commit(folder: Path) -> None:
    """Commit everything."""
    run(folder, "git", "add", "--all")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(folder, "git", *author, "commit", "--quiet", "--message", "state")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the one occurrence of `old` in a file of the clone."""
    text = (folder / name).read_text()
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
    (folder / name).write_text(text.replace(old, new))


def stage_commands(output: str) -> set[str]:
    """The stages' commands that an engine printed, without what only Snakemake adds to them."""
    return {plain(command) for command in re.findall(r"python -m stages\..*", output)}


def plain(command: str) -> str:
    """A stage's command without the fingerprint of its parameters and the redirection to a log."""
    return re.sub(r" --planned \S+| > .*", "", command).rstrip()


def snakemake(folder: Path, *options: str) -> set[str]:
    """Run Snakemake; the commands that it ran, or would run with `--dry-run`."""
    return stage_commands(run(folder, "snakemake", "--cores", "2", "--printshellcmds", *options))


def dvc_repro(folder: Path) -> set[str]:
    """Run DVC; the commands that it ran."""
    return stage_commands(run(folder, "dvc", "repro"))


@dataclass
class Job:
    """What one engine says of one command."""

    inputs: set[str]
    outputs: set[str]
    parameters: set[str]


def snakemake_jobs() -> dict[str, Job]:
    """The jobs of the Snakefile in the working folder, by their commands."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=Path("Snakefile"))
        dag = workflow.dag(dag_settings=DAGSettings(forceall=True))
        with contextlib.redirect_stdout(io.StringIO()):
            dag.printd3dag()
        jobs = [job for job in workflow._workflow.dag.jobs if job.shellcmd]
    return {
        plain(job.shellcmd): Job(
            {str(path) for path in job.input}, {str(path) for path in job.output}, set(job.params.declared)
        )
        for job in jobs
    }


def dvc_jobs() -> dict[str, Job]:
    """The jobs of dvc.yaml in the working folder, by their commands."""
    return {
        stage.cmd: Job(
            {str(dep) for dep in stage.deps if not isinstance(dep, ParamsDependency)},
            {str(out) for out in stage.outs},
            {name for dep in stage.deps if isinstance(dep, ParamsDependency) for name in dep.params},
        )
        for stage in Repo(".").index.stages
    }


def drift(first: dict[str, Job], second: dict[str, Job]) -> list[str]:
    """Where Snakemake's jobs and DVC's differ; a folder that DVC names stands for the files in it."""
    lines = [f"only one engine runs {command}" for command in first.keys() ^ second.keys()]
    for command in first.keys() & second.keys():
        ours, theirs = first[command], second[command]
        folders = {path: next((dep for dep in theirs.inputs if path.startswith(f"{dep}/")), path) for path in ours.inputs}
        for what, left, right in (
            ("inputs", set(folders.values()), theirs.inputs),
            ("outputs", ours.outputs, theirs.outputs),
            ("parameters", ours.parameters, theirs.parameters),
        ):
            if left != right:
                lines.append(f"{what} of {command}: {sorted(left ^ right)}")
    return lines
