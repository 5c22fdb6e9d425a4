"""Sizes of what `benchmarks.gpu` measures, and its figures."""

from pydantic import BaseModel

from benchmarks.training_step import SHAPES, Shape
from mfr.config.training import Precision, Train


class Model(BaseModel):
    """Size of a GPT-2; the default is GPT-2 Small."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    context: int = 1024
    vocabulary: int = 50257


class Sizes(BaseModel):
    """What is measured, and how large it is.

    `refresh` is the number of steps between two matchings, and `rounds` the number of such periods that are timed. `matched`
    lists h for the matching of two SAEs. `vectors` are trained end to end in batches of `batch`, and `tokens` dumped in each of
    the rounds from `documents`.
    """

    shapes: dict[str, Shape]
    refresh: int
    rounds: int
    matched: list[int]
    matched_size: int
    vectors: int
    batch: int
    model: Model
    tokens: int
    documents: int


XL = Train(hidden=65536, k=[64, 64], batch=4096, steps=1_000_000, learning_rate=0.001)
FULL = Sizes(
    shapes=SHAPES | {"XL": Shape(size=4096, train=XL, drawn=False)},
    refresh=50,
    rounds=3,
    matched=[16384, 65536],
    matched_size=4096,
    vectors=100_000_000,
    batch=10_000,
    model=Model(),
    tokens=200_000,
    documents=600,
)
TINY = Shape(size=32, train=Train(hidden=64, k=[4, 6], batch=50, steps=1000, learning_rate=0.001), drawn=False)
SMALL = Sizes(
    shapes={name: TINY.model_copy(update={"drawn": name == "S"}) for name in FULL.shapes},
    refresh=4,
    rounds=1,
    matched=[64],
    matched_size=32,
    vectors=2000,
    batch=100,
    model=Model(layers=1, width=8, heads=2, context=32, vocabulary=512),
    tokens=200,
    documents=60,
)


class Outcome(BaseModel):
    """Outcome of one test: passed, failed or skipped, in `seconds`, and why it failed."""

    name: str
    outcome: str
    seconds: float
    message: str = ""


class StepFigures(BaseModel):
    """One shape in one precision: ratios, and milliseconds (*_ms) per product, step or matching.

    pull_ms is a step with MFR between two matchings, mfr_ms the mean step of a period: `refresh` steps with one matching.
    dense_ms is null if dense autograd does not fit the memory; dense_error says so. first_matching_ms is spent once per run.
    peak_memory_mb is that of training with MFR: on the GPU, or of the process on a CPU.
    """

    shape: str
    precision: Precision
    matching: str
    gemm_ms: float
    step_ms: float
    pull_ms: float
    mfr_ms: float
    dense_ms: float | None
    dense_error: str | None
    first_matching_ms: float
    matching_ms: float
    peak_memory_mb: float
    step_over_gemm: float
    dense_over_step: float | None
    mfr_over_step: float
    pull_over_step: float


class MatchingFigures(BaseModel):
    """Seconds of an exact one-to-one matching of two random SAEs with h latents, and of the next one after a little drift."""

    hidden: int
    size: int
    first_s: float
    next_s: float


class EndToEnd(BaseModel):
    """A whole run of the stage train on drawn vectors, with two SAEs of the paper's shape and MFR.

    drawn_per_s is how many vectors per second arrive on the device if nothing else happens. mse is the last error.
    """

    vectors: int
    batch: int
    refresh: int
    seconds: float
    vectors_per_s: float
    drawn_per_s: float
    mse: float


class Activations(BaseModel):
    """Tokens per second of a dump of GPT-2's first MLP, and of a bare hook in the same model, which keeps nothing."""

    tokens: int
    dump_per_s: float
    hook_per_s: float
