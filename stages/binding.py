"""Bind a stage to the parameters that its engine records for it.

Snakemake records the values with which it planned a job, and hands their fingerprint to the stage. DVC reads params.yaml
again when a stage has ended. So an edit during a run would be recorded as what the outputs were made with.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

from mfr.config.declared import changed_since, differing, values_of
from mfr.config.experiment import Params
from mfr.config.load import content, read, text_of
from mfr.runtime.errors import UserError
from mfr.runtime.files import checked_last


def run_bound(stage: Callable[[argparse.Namespace, Params], str], arguments: argparse.Namespace) -> str:
    """Run a stage on its parameters; raises `UserError` if an engine would record others.

    Under DVC, outputs are not replaced if the file's values have changed meanwhile; a checkpoint stays.
    """
    found = read(arguments.params)
    values = _declared(found.raw, arguments)
    if arguments.planned and (changed := changed_since(arguments.planned, values)):
        raise UserError(f"{arguments.params}: {', '.join(changed)}: changed since this run was planned; run again")
    _check_seed(arguments, found.typed)

    def unchanged() -> None:
        now = content(text_of(arguments.params), str(arguments.params))
        for key, old, new in differing(values, _declared(now, arguments)):
            raise UserError(f"{arguments.params}: {key}: changed from {old} to {new} while the stage ran; run again")

    if "DVC_STAGE" not in os.environ:
        return stage(arguments, found.typed)
    with checked_last(unchanged):
        result = stage(arguments, found.typed)
    unchanged()
    return result


def _declared(raw: Any, arguments: argparse.Namespace) -> dict[str, object]:
    return values_of(raw, arguments.stage, vars(arguments))


def _check_seed(arguments: argparse.Namespace, params: Params) -> None:
    seed = vars(arguments).get("seed")
    if seed is not None and seed not in params.seeds:
        raise UserError(f"--seed {seed}: no such seed; {arguments.params} has {', '.join(map(str, params.seeds))}")
