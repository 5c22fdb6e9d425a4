"""Helpers of the rules: the parameters that a job declares, and the files of a source's runs."""

from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from mfr.config.experiment import Params
from mfr.config.load import check
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.files import check_outside
from mfr.sources.source import source


def declared(config: dict, *keys: str) -> dict[str, object]:
    """Values of dotted keys such as `synthetic.train`, the parameters that a job declares; None for a missing key."""
    return {key: _value(config, key) for key in keys}


def _value(config: dict, key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def checked(config: dict) -> Params:
    """The typed parameters of a configuration.

    Raises `WorkflowError` for mistakes, and for values from the command line, since stages read params.yaml themselves. Also
    refuses a user's folder that is inside an output or contains one: Snakemake deletes outputs before a stage could object.
    """
    if config != yaml.safe_load(Path("params.yaml").read_text()):
        raise WorkflowError("--config and --configfile would not reach the stages: edit params.yaml instead")
    try:
        params = check(config, "params.yaml")
        for name in params.sources:
            for parameter, (folder, output) in source(name).outside(params.source(name)).items():
                _check_apart(Path(folder).expanduser(), output, parameter)
        return params
    except UserError as error:
        raise WorkflowError(str(error)) from None


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
