"""Read what stage evaluate wrote of one run; raises `UserError` for files of another run or other SAEs."""

from pathlib import Path

import pandas as pd

from mfr.evaluation.records import Evaluation
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.records import check
from mfr.saes.identity import check_measured


def read_evaluation(source: str, method: str, seed: int) -> Evaluation:
    """The record of one run's evaluation."""
    path = paths.evaluation(source, method, seed)
    found = Evaluation.read(path, "evaluate")
    if (found.source, found.method, found.seed) != (source, method, seed):
        whose = f"{found.source}/{found.method} seed {found.seed}"
        raise UserError(f"{path}: the evaluation of {whose}; run evaluate again")
    check_measured(path, found.saes_sha256, paths.saes_card(source, method, seed), "evaluate")
    return found


def read_latents(source: str, method: str, seed: int) -> pd.DataFrame:
    """The table of `mfr.evaluation.metrics.latent_table`."""
    path, sha256 = paths.features(source, method, seed), read_evaluation(source, method, seed).latents_sha256
    check(path, sha256, paths.evaluation(source, method, seed), "evaluate")
    return pd.read_csv(path)


def checked_activity(source: str, method: str, seed: int, heldout_sha256: str) -> Path:
    """Path of the table of `mfr.evaluation.metrics.activity`, in Parquet.

    Also refuses one of other held-out vectors than those whose `Vectors.identity` is `heldout_sha256`.
    """
    path, record = paths.activity(source, method, seed), paths.evaluation(source, method, seed)
    found = read_evaluation(source, method, seed)
    if found.heldout_sha256 != heldout_sha256:
        raise UserError(f"{record}: of other held-out vectors than {paths.vectors(source, 'heldout')}; run evaluate again")
    check(path, found.activity_sha256, record, "evaluate")
    return path
