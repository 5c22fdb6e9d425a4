"""Time the first 300 steps of training with MFR and without, and the evaluation that follows.

Both trainings see the same batches, in turns of some steps that alternate, so that both meet the same noise of the machine.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from benchmarks.figures import seconds
from mfr.config.experiment import Execution
from mfr.config.synthetic import GenerateSynthetic, Synthetic
from mfr.config.training import Method
from mfr.evaluation.metrics import sum_over
from mfr.runtime.records import file_sha256
from mfr.saes.ensemble import Card
from mfr.saes.files import content
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from stages import evaluate

STEPS, TURN = 300, 25
HELDOUT_STEPS = 30  # the evaluation has as many rows as this many steps


@dataclass
class FirstSteps:
    """Seconds of the first steps of both trainings, without the first step, which compiles and solves the first matching."""

    baseline_s: float
    mfr_s: float
    first_matching_s: float


def take_steps(trainer: Trainer, batches: Iterable[torch.Tensor]) -> None:
    """Take one training step on each batch (B, d), which is on the trainer's device."""
    for x in batches:
        trainer.step(x)


def time_first_steps(baseline: Trainer, mfr: Trainer, batches: Iterator[torch.Tensor], steps: int = STEPS) -> FirstSteps:
    """Train both from step 0 on the same batches; matchings count, except the first."""
    _, first_s = _turn(baseline, mfr, list(islice(batches, 1)), 0)
    baseline_s = mfr_s = 0.0
    for turn, start in enumerate(range(1, steps, TURN)):
        times = _turn(baseline, mfr, list(islice(batches, min(TURN, steps - start))), turn)
        baseline_s, mfr_s = baseline_s + times[0], mfr_s + times[1]
    return FirstSteps(baseline_s, mfr_s, first_s - baseline_s / (steps - 1))


def _turn(baseline: Trainer, mfr: Trainer, batches: list[torch.Tensor], turn: int) -> tuple[float, float]:
    """Seconds that each training takes for these batches; who begins alternates."""

    def train(trainer: Trainer) -> float:
        return seconds(partial(take_steps, trainer, batches), trainer.device)

    if turn % 2:
        return train(baseline), train(mfr)
    mfr_s = train(mfr)
    return train(baseline), mfr_s


def evaluation_s(trainer: Trainer, heldout: Path, threads: int) -> float:
    """Seconds of the stage `evaluate` for a tenth of the rows of the first steps, without a language model.

    The rows in `heldout` are timed. What encoding more or fewer rows takes is added in proportion.
    """
    saes, card = (heldout.with_name(name) for name in ("saes.safetensors", "card.json"))
    saes.write_bytes(content(trainer.saes))
    settings, size, sha256 = trainer.settings, trainer.vectors.size, file_sha256(saes)
    card.write_text(
        Card(source="synthetic", size=size, seed=0, train=settings, method=trainer.method, saes_sha256=sha256).text()
    )
    section = Synthetic(
        generate_synthetic=GenerateSynthetic(train_rows=None, heldout_rows=1), train=settings, methods={"baseline": Method()}
    )
    trained, execution = evaluate.Trained(saes, card), Execution(threads=threads)
    outputs = evaluate.Outputs(*(heldout.with_name(name) for name in ("evaluation.json", "latents.csv", "activity.parquet")))
    whole = seconds(lambda: evaluate.run(trained, heldout, "baseline", section, outputs, execution), trainer.device)
    rows = HELDOUT_STEPS * settings.batch
    with Vectors(heldout) as vectors:
        return whole + seconds(lambda: sum_over(vectors, trainer.saes), trainer.device) * (rows / vectors.rows - 1)
