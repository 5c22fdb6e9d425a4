"""Bring the other engine up to date after a run of one: `python -m workflow.sync`.

After Snakemake, `dvc commit` records the results in DVC; after DVC, `snakemake --touch --forceall` records them in Snakemake.
Both commands trust the files on disk, so only an engine whose own state is clean may vouch for them, and only if the files
themselves say that they are of the parameters in params.yaml. With a source, as in
`python -m workflow.sync eeg`, only that source is synchronised.
"""

import argparse
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

from mfr.comparison.runs import Run
from mfr.config.declared import differing, keys_of
from mfr.config.experiment import SOURCES
from mfr.config.load import load, text_of
from mfr.runtime import paths
from mfr.runtime.command import status_of
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import deferred
from mfr.saes.identity import check_card
from mfr.sources.source import source
from workflow.results import origin_of

PARAMS = Path("params.yaml")


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workflow.sync", description=__doc__)
    parser.add_argument("target", nargs="?", choices=[*SOURCES, "all"], default="all", help="synchronise only one source")
    target: str = parser.parse_args(argv).target
    return status_of(lambda: synchronise(target))


def synchronise(target: str) -> int:
    """Synchronise the engine that lags; return 1, with one line, if neither can vouch for the files."""
    params = text_of(PARAMS)
    snakemake_clean, dvc_clean = snakemake_is_clean(target), dvc_is_clean(target)
    if snakemake_clean or dvc_clean:
        check_files(target)
    if snakemake_clean and dvc_clean:
        print("both engines are up to date")
    elif snakemake_clean:
        # Outputs relinked from the cache would share one modification time, which is not the one Snakemake recorded.
        _run("dvc", "commit", "--force", "--quiet", "--no-relink", *_dvc_targets(target))
        _refuse_an_edit(params)
        print("DVC now knows Snakemake's results")
    elif dvc_clean:
        _run("snakemake", "--cores", "1", "--touch", "--forceall", "--quiet", "all", "--", target)
        _refuse_an_edit(params)
        print("Snakemake now knows DVC's results")
    else:
        command = f"snakemake {target} --cores 4 --resources gpu=1"
        print(f"error: neither engine is up to date: run `{command}`, or `dvc repro`, to its end first", file=sys.stderr)
        return 1
    return 0


def _refuse_an_edit(params: str) -> None:
    """Raise `UserError` if params.yaml differs from the text that the files were compared with: an engine may have read it."""
    if text_of(PARAMS) != params:
        raise UserError(f"{PARAMS}: changed while the engines were synchronised; restore it and synchronise again")


def check_files(target: str) -> None:
    """Raise `UserError` if a card, an evaluation or results are of other parameters than those in params.yaml."""
    params = load(PARAMS)
    for name in _sources(target):
        section = params.source(name)
        for run in [Run(name, method, seed) for method in section.methods for seed in params.seeds]:
            check_card(run.path(paths.saes_card), name, section, run.method, run.seed)
            run.evaluation()
        current = {"seeds": sorted(params.seeds), **section.model_dump()}
        _check_origin(name, [key.removeprefix(f"{name}.") for key in keys_of("compare", {"source": name})], current)


def _check_origin(name: str, keys: list[str], current: dict[str, Any]) -> None:
    """Raise `UserError` if the results of a source were made with other values of the keys that compare declares."""
    path, origin = paths.result(name, "origin.json"), origin_of(name)
    recorded = {"seeds": origin["seeds"], **origin["section"]}
    for key, then, now in differing({key: recorded.get(key) for key in keys}, {key: current[key] for key in keys}):
        raise UserError(f"{path}: made with {key} = {then}, but params.yaml gives {now}; run compare again")


def snakemake_is_clean(target: str) -> bool:
    """Whether Snakemake has nothing to do for the target, and its record of each output matches the file on disk.

    Snakemake takes a file for fresh if it has no record of it, or if something else has written it since.
    """
    return "Nothing to be done" in _run("snakemake", "--cores", "1", "--dry-run", target) and _records_fit(target)


def _records_fit(target: str) -> bool:
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=Path("Snakefile"))
        dag = workflow.dag(dag_settings=DAGSettings(targets={target}, forceall=True))
        with redirect_stdout(StringIO()):
            dag.printd3dag()  # builds the jobs
        records = workflow._workflow.persistence
        outputs = [path for job in workflow._workflow.dag.jobs for path in job.output]
        return all((record := records.metadata(path)) and record.endtime == _modified(Path(path)) for path in outputs)


def _modified(path: Path) -> float:
    # Snakemake keeps a folder's time in a file of its own.
    mark = path / ".snakemake_timestamp"
    return (mark if mark.exists() else path).lstat().st_mtime


def dvc_is_clean(target: str) -> bool:
    """Whether DVC has nothing to do for the target, and has the results in its cache."""
    with deferred():
        done = subprocess.run(["dvc", "status", "--quiet", *_dvc_targets(target)], capture_output=True)
    return done.returncode == 0


def _sources(target: str) -> list[str]:
    return load(PARAMS).sources if target == "all" else [target]


def _dvc_targets(target: str) -> list[str]:
    """The last stages of the target; with their dependencies they are all that the experiment needs."""
    sources = _sources(target)
    last = [f"{stage}@{name}" for name in sources for stage in ("describe", "compare")]
    return ["--with-deps", *last, *(f"export_{name}" for name in sources if source(name).exported)]


def _run(*command: str) -> str:
    # An engine that is cut short may leave its own records damaged. Ctrl-C reaches it too, and it ends in good order.
    with deferred():
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: `{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
