"""What an evaluation records: names and definitions of the metrics."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from mfr.runtime.records import Record

# NaN and infinity become null in JSON, which has neither; null is read as NaN.
Number = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]


class TruthMetrics(BaseModel):
    """One SAE against the true features; see `mfr.evaluation.metrics.truth_metrics`."""

    mmcs_max: Number
    mcc_hungarian: Number
    recovered: Number


class SaeMetrics(BaseModel):
    """One SAE on held-out vectors.

    mse is the mean squared error per element, l2_squared the mean squared error per vector (paper, section 2.1). fvu is the
    fraction of variance unexplained, l0 the mean number of active latents, and dead the share of latents that are never active.
    unevenness is the absolute statistic of `mfr.saes.ensemble`. own has the measures of the vectors' source by name.
    """

    k: int
    mse: Number
    l2_squared: Number
    fvu: Number
    l0: Number
    dead: Number
    unevenness: Number
    truth: TruthMetrics | None = None
    own: dict[str, Number] = {}


class PairMetrics(BaseModel):
    """Two SAEs of one ensemble.

    decoder_l2 is the Frobenius distance of the decoders, row by row (paper, section 4.3). decoder_l2_matched is the same after
    one-to-one matching of the rows.
    """

    first: int
    second: int
    mmcs_max: Number
    mcc_hungarian: Number
    decoder_l2: Number
    decoder_l2_matched: Number


class SimilarityCorrelation(BaseModel):
    """Pearson's r over latents between similarity across SAEs and to the true features.

    Paper, figure 2. NaN if one of the two is the same for all latents.
    """

    r_max: Number
    r_hungarian: Number


class Evaluation(Record):
    """One ensemble on held-out vectors; own has the source's measures of itself by name.

    The hashes are of the weights, of the held-out vectors, as `Vectors.identity` gives it, and of the tables of latents and
    of their activity.
    """

    source: str
    method: str
    seed: int
    rows: int
    saes: list[SaeMetrics]
    pairs: list[PairMetrics]
    correlation: SimilarityCorrelation | None = None
    own: dict[str, Number] = Field(default_factory=dict)
    saes_sha256: str = ""
    heldout_sha256: str = ""
    latents_sha256: str = ""
    activity_sha256: str = ""
