"""Train one ensemble of SAEs: one source, method and seed."""

import argparse
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import save

from mfr import paths
from mfr.devices import allow_tf32, limit_threads, resolve_device
from mfr.method import Method, Train
from mfr.params import Execution, Params
from mfr.store import Vectors
from mfr.training import Saving, Trainer
from stages.common import call, find_method, job_key, stage_parser, writing


@dataclass
class Outputs:
    """What a trained ensemble leaves: weights, a card that describes them, learning curves; and a checkpoint until then."""

    saes: Path
    card: Path
    curves: Path
    checkpoint: Path


def run(data: Path, settings: Train, method: Method, seed: int, outputs: Outputs, execution: Execution) -> None:
    """Train on the vectors of `data`; a run that was cut off goes on from its last checkpoint."""
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    limit_threads(execution.threads)
    allow_tf32(settings.precision == "tf32")
    with writing(outputs.saes, outputs.card, outputs.curves) as [saes_part, card_part, curves_part], Vectors(data) as vectors:
        described = {
            "source": vectors.source,
            "size": vectors.size,
            "seed": seed,
            "train": method.applied_to(settings).model_dump(),
            "method": method.model_dump(),
        }
        key = job_key(described, vectors.identity())
        saving = Saving(outputs.checkpoint, key, execution.checkpoint_s, execution.checkpoint_steps)
        trainer = Trainer(vectors, settings, method, seed, resolve_device(execution.device))
        saes = trainer.run(saving, execution.progress_s)
        saes_part.write_bytes(save({"W": saes.W.cpu(), "b": saes.b.cpu(), "offset": saes.offset.cpu()}))
        card_part.write_text(
            json.dumps({**described, "scale": trainer.scaling.scale, "reinits": trainer.progress.reinits}, indent=2) + "\n"
        )
        pd.DataFrame([vars(row) for row in trainer.progress.curves]).to_csv(curves_part, index=False)
    outputs.checkpoint.unlink(missing_ok=True)


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    section = params.source(source)
    outputs = Outputs(
        paths.saes(source, method, seed),
        paths.saes_card(source, method, seed),
        paths.curves(source, method, seed),
        paths.checkpoint(source, method, seed),
    )
    run(paths.vectors(source, "train"), section.train, find_method(section, method), seed, outputs, params.execution)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.train", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
