"""Helpers of the rules: the parameters that a job declares, and the files of a source's runs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from mfr.config import declared as keys
from mfr.config.experiment import Params
from mfr.config.load import read
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.files import check_outside
from mfr.sources.source import source

PLANNED = "MFR_PLANNED"


def parameters(given: Mapping[str, object], is_main_process: bool = True) -> tuple[dict[str, Any], Params]:
    """The content of params.yaml and the typed parameters; Snakemake's own reading of YAML differs from DVC's.

    Raises `WorkflowError` for mistakes, and for values `given` on the command line, since stages read params.yaml themselves.
    Also refuses a user's folder that is inside an output or contains one: Snakemake deletes outputs before a stage could
    object. A job on a cluster starts Snakemake again, not as the main process; it refuses other values than the planned ones.
    """
    if given:
        raise WorkflowError("--config and --configfile would not reach the stages: edit params.yaml instead")
    try:
        found = read(Path("params.yaml"))
        _bind({name: found.raw[name] for name in found.raw.keys() - {"execution"}}, is_main_process)
        for name in found.typed.sources:
            for parameter, (folder, output) in source(name).outside(found.typed.source(name)).items():
                _check_apart(paths.expanded(folder), output, parameter)
        return found.raw, found.typed
    except UserError as error:
        raise WorkflowError(str(error)) from None


def _bind(values: dict[str, object], is_main_process: bool) -> None:
    """Hand the fingerprint of the planned values to the processes of jobs, through the environment that a cluster copies."""
    if is_main_process:
        os.environ[PLANNED] = keys.fingerprint({"all": values})
    elif os.environ.get(PLANNED, (now := keys.fingerprint({"all": values}))) != now:
        raise UserError("params.yaml: changed since this run was planned; run again")


def declared(config: dict[str, Any], stage: str, names: Mapping[str, str] | None = None) -> dict[str, object]:
    """Values of the parameters that a job declares, by dotted key such as `synthetic.train`; None for a missing key."""
    return keys.values_of(config, stage, names or {})


def planned(config: dict[str, Any], stage: str, names: Mapping[str, str] | None = None) -> str:
    """Fingerprint of the parameters that a job declares; its stage refuses others."""
    return keys.fingerprint(declared(config, stage, names))


def _check_apart(folder: Path, output: Path, parameter: str) -> None:
    check_outside(folder, output, parameter)
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{parameter}: {folder} holds {output}, which is this project's own: name a folder beside it")


def gpus(params: Params) -> int:
    """GPUs that a job which can use one asks for: none with `execution.device: cpu`."""
    return 0 if params.execution.device == "cpu" else 1


def runs_of(name: str, config: dict) -> dict[str, list[Path]]:
    """What compare and describe read of every method and seed of a source."""
    runs = _runs(name, config)
    return {
        "saes": [paths.saes(*run) for run in runs],
        "cards": [paths.saes_card(*run) for run in runs],
        "evaluations": [paths.evaluation(*run) for run in runs],
        "latents": [paths.features(*run) for run in runs],
        "activity": [paths.activity(*run) for run in runs],
        "curves": [paths.curves(*run) for run in runs],
        "measured": [path for _, method, seed in runs for path in source(name).files_of_run(method, seed)],
    }


def made_of(name: str, config: dict) -> list[Path]:
    """Every file that must be there when a source is done.

    Includes intermediate files: Snakemake takes results for fresh even if their inputs are gone, as after a failure.
    """
    vectors = [paths.vectors(name, split) for split in source(name).splits]
    read_by_compare = [path for files in runs_of(name, config).values() for path in files]
    exports = [paths.export(*run) for run in _runs(name, config)] if source(name).exported else []
    results = [paths.descriptions(name), paths.metrics(name), paths.results(name)]
    return [*source(name).prepared, *vectors, *read_by_compare, *exports, *results]


def _runs(name: str, config: dict) -> list[tuple[str, str, int]]:
    return [(name, method, seed) for method in config[name]["methods"] for seed in config["seeds"]]
