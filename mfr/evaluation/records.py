"""What an evaluation records, and what it is called."""

from pydantic import BaseModel, field_validator


class TruthMetrics(BaseModel):
    """One SAE against the true features, if these are known."""

    mmcs_max: float
    mcc_hungarian: float
    recovered: float


class SaeMetrics(BaseModel):
    """One SAE on held-out vectors.

    mse is the mean squared error per element, l2_squared per vector (paper, section 2.1), fvu the fraction of variance
    unexplained, l0 the mean number of active latents, dead the share never active, unevenness that of `mfr.saes.ensemble`. `own`
    has what only the vectors' source measures, by name.
    """

    k: int
    mse: float
    l2_squared: float
    fvu: float
    l0: float
    dead: float
    unevenness: float
    truth: TruthMetrics | None = None
    own: dict[str, float] = {}


class PairMetrics(BaseModel):
    """Two SAEs of one ensemble.

    decoder_l2 is the Frobenius distance of the decoders, row by row (paper, section 4.3), and decoder_l2_matched that of the
    one-to-one pairs of rows.
    """

    first: int
    second: int
    mmcs_max: float
    mcc_hungarian: float
    decoder_l2: float
    decoder_l2_matched: float


class SimilarityCorrelation(BaseModel):
    """Pearson's r over latents between similarity across SAEs and similarity to the true features (paper, figure 2).

    NaN, which JSON holds as null, where one of the two is the same for all latents.
    """

    r_max: float
    r_hungarian: float

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_nan(cls, value: float | None) -> float:
        return float("nan") if value is None else value


class Evaluation(BaseModel):
    """One ensemble on held-out vectors; `own` has what its source measures of itself, by name."""

    source: str
    method: str
    seed: int
    rows: int
    saes: list[SaeMetrics]
    pairs: list[PairMetrics]
    correlation: SimilarityCorrelation | None = None
    own: dict[str, float] = {}
