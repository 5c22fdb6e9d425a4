"""Train one ensemble of SAEs: one source, method and seed."""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mfr.compute.devices import allow_tf32, limit_threads, resolve_device
from mfr.config.experiment import Execution, Params
from mfr.config.training import Method, Train
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.records import file_sha256
from mfr.saes.ensemble import Card
from mfr.saes.files import content
from mfr.training.curves import CurveRow
from mfr.training.trainer import Saving, Trainer
from mfr.vectors.reader import Vectors
from stages.common import call, find_method, job_key, stage_parser


@dataclass
class Outputs:
    """Files of one training run: weights, their card, learning curves and the checkpoint.

    The card describes the weights. The checkpoint is deleted at the end.
    """

    saes: Path
    card: Path
    curves: Path
    checkpoint: Path


def run(data: Path, settings: Train, method: Method, seed: int, outputs: Outputs, execution: Execution) -> list[CurveRow]:
    """Train on the vectors in `data`, resuming from a checkpoint; return the learning curves."""
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    limit_threads(execution.threads)
    allow_tf32(settings.precision == "tf32")
    with writing(outputs.saes, outputs.card, outputs.curves) as [saes_part, card_part, curves_part], Vectors(data) as vectors:
        card = Card(source=vectors.source, size=vectors.size, seed=seed, train=method.applied_to(settings), method=method)
        key = job_key(card.model_dump(), vectors.identity())
        saving = Saving(outputs.checkpoint, key, execution.checkpoint_s, execution.checkpoint_steps)
        trainer = Trainer(vectors, settings, method, seed, resolve_device(execution.device))
        saes = trainer.run(saving, execution.progress_s)
        saes_part.write_bytes(content(saes))
        pd.DataFrame([vars(row) for row in trainer.progress.curves]).to_csv(curves_part, index=False)
        found = {
            "scale": trainer.scaling.scale,
            "reinits": trainer.progress.reinits,
            "recipe_sha256": vectors.recipe(),
            "saes_sha256": file_sha256(saes_part),
            "curves_sha256": file_sha256(curves_part),
        }
        card_part.write_text(card.model_copy(update=found).text())
    outputs.checkpoint.unlink(missing_ok=True)
    return trainer.progress.curves


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    section = params.source(source)
    outputs = Outputs(
        paths.saes(source, method, seed),
        paths.saes_card(source, method, seed),
        paths.curves(source, method, seed),
        paths.checkpoint(source, method, seed),
    )
    curves = run(paths.vectors(source, "train"), section.train, find_method(section, method), seed, outputs, params.execution)
    last = [row.mse for row in curves if row.step == curves[-1].step]
    return f"mse {sum(last) / len(last):.3g}"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.train", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
