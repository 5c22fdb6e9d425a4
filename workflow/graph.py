"""Helpers of the rules: which code a stage runs, and which parameters it declares."""

import ast
from functools import reduce
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from mfr import paths
from mfr.errors import UserError
from mfr.params import Params
from mfr.params_file import check
from stages.common import check_outside

PACKAGES = ("mfr", "stages")


def code_of(module: str) -> list[str]:
    """The files of this project that a module imports, directly or not, and its own: what reruns it when edited.

    Paths are relative to the project's folder, where the engines run.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = Path(*waiting.pop().split(".")).with_suffix(".py")
        if str(path) not in found and path.is_file():
            found.add(str(path))
            waiting.extend(_imported(path))
    return sorted(found)


def _imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def declared(config: dict, *keys: str) -> dict[str, object]:
    """The values of dotted keys such as `synthetic.train`: the parameters that a job declares."""
    return {key: reduce(lambda section, part: section[part], key.split("."), config) for key in keys}


def checked(config: dict) -> Params:
    """The typed parameters of a configuration.

    Raises `WorkflowError` for one with mistakes, or one that is not params.yaml's, which the stages read themselves, and
    for a user's model or recordings in an output, which Snakemake deletes before the stage itself could refuse them, or
    around one.
    """
    if config != yaml.safe_load(Path("params.yaml").read_text()):
        raise WorkflowError("--config and --configfile would not reach the stages: edit params.yaml instead")
    try:
        params = check(config, "params.yaml")
        model, recordings = params.language_model.prepare_model.model, params.eeg.prepare_recordings.recordings
        _check_apart(Path(model).expanduser(), paths.MODEL, "prepare_model.model")
        _check_apart(Path(recordings).expanduser(), paths.RECORDINGS, "prepare_recordings.recordings")
        return params
    except UserError as error:
        raise WorkflowError(str(error)) from None


def runs_of(source: str, config: dict) -> dict[str, list[Path]]:
    """What compare and describe read of every method and seed of a source."""
    runs = _runs(source, config)
    own = {"denoising": [paths.denoising(method, seed) for _, method, seed in runs]} if source == "eeg" else {}
    return own | {
        "saes": [paths.saes(*run) for run in runs],
        "cards": [paths.saes_card(*run) for run in runs],
        "evaluations": [paths.evaluation(*run) for run in runs],
        "features": [paths.features(*run) for run in runs],
        "curves": [paths.curves(*run) for run in runs],
    }


def made_of(source: str, config: dict) -> list[Path]:
    """Every file that must be there when a source is done.

    Intermediate files are among them: Snakemake takes results for fresh whose inputs are gone, as they are after a failure.
    """
    exports = [paths.export(*run) for run in _runs("language_model", config)]
    own = {"synthetic": [], "language_model": [paths.MODEL, *exports], "eeg": [paths.RECORDINGS]}
    splits = ("train", "validation", "heldout") if source == "eeg" else ("train", "heldout")
    vectors = [paths.vectors(source, split) for split in splits]
    read_by_compare = [path for files in runs_of(source, config).values() for path in files]
    return [*own[source], *vectors, *read_by_compare, paths.descriptions(source), paths.metrics(source)]


def _runs(source: str, config: dict) -> list[tuple[str, str, int]]:
    return [(source, method, seed) for method in config[source]["methods"] for seed in config["seeds"]]


def _check_apart(folder: Path, output: Path, parameter: str) -> None:
    check_outside(folder, output, parameter)
    if output.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{parameter}: {folder} holds {output}, which is this project's own: name a folder beside it")
