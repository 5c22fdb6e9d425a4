"""What stage denoise records."""

from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from mfr.denoising.denoisers import Scores
from mfr.runtime.records import Record

DIGITS = 6


class DenoiserScores(BaseModel):
    """How well one denoiser removes one kind of noise at one strength; see `mfr.denoising.denoisers.Scores`."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    noise: str
    snr_db: int
    denoiser: str
    k: int
    snr_gain_db: float
    rrmse_time: float
    rrmse_spectrum: float


COLUMNS = list(DenoiserScores.model_fields)


class Denoising(Record):
    """Scores of one ensemble, given by the hash of its weights, and of linear references.

    `heldout_sha256` is that of the windows' file, as `Vectors.identity` gives it.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    saes_sha256: str
    heldout_sha256: str
    scores: list[DenoiserScores]

    @classmethod
    def of(cls, table: pd.DataFrame, saes_sha256: str, heldout_sha256: str) -> Self:
        """Record of a table with the columns `COLUMNS`, with scores to six significant digits."""
        rounded = table.assign(**{name: table[name].map(f"{{:.{DIGITS}g}}".format).astype(float) for name in Scores._fields})
        scores = [DenoiserScores(**row) for row in rounded.to_dict("records")]
        return cls(saes_sha256=saes_sha256, heldout_sha256=heldout_sha256, scores=scores)

    def table(self) -> pd.DataFrame:
        """One row per noise, strength and denoiser, with the columns `COLUMNS`."""
        return pd.DataFrame([score.model_dump() for score in self.scores], columns=COLUMNS)


def read_denoising(path: Path) -> Denoising:
    """The record that stage denoise wrote; `UserError` if it is missing or damaged."""
    return Denoising.read(path, "denoise")
