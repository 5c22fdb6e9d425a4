"""Train one ensemble of SAEs: one source, method and seed."""

import argparse
import hashlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import save

import mfr
from mfr import paths
from mfr.devices import allow_tf32, limit_threads, resolve_device
from mfr.params import Execution, Method, Params, Train
from mfr.store import Vectors
from mfr.training import Saving, Trainer
from stages.common import call, find_method, stage_parser, writing


@dataclass
class Outputs:
    """What a trained ensemble leaves: weights, a card that describes them, learning curves."""

    saes: Path
    card: Path
    curves: Path


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
            "train": settings.model_dump(),
            "method": method.model_dump(),
        }
        key = run_key(described, data)
        checkpoint = paths.SCRATCH / "checkpoints" / f"{key[:16]}.safetensors"
        trainer = Trainer(vectors, settings, method, seed, resolve_device(execution.device))
        saes = trainer.run(Saving(checkpoint, key, execution.checkpoint_s, execution.checkpoint_steps), execution.progress_s)
        saes_part.write_bytes(save({"W": saes.W.cpu(), "b": saes.b.cpu()}))
        card_part.write_text(json.dumps({**described, "reinits": trainer.progress.reinits}, indent=2) + "\n")
        pd.DataFrame([vars(row) for row in trainer.progress.curves]).to_csv(curves_part, index=False)
    checkpoint.unlink(missing_ok=True)


def run_key(described: dict[str, object], data: Path) -> str:
    """What identifies a run: its parameters, its vectors and the library's code; a checkpoint of another run is not used."""
    state = data.stat()
    digest = hashlib.sha256(json.dumps([described, state.st_size, state.st_mtime_ns]).encode())
    for module in sorted(Path(mfr.__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    section = params.source(source)
    outputs = Outputs(
        paths.saes(source, method, seed), paths.saes_card(source, method, seed), paths.curves(source, method, seed)
    )
    run(paths.vectors(source, "train"), section.train, find_method(section, method), seed, outputs, params.execution)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.train", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
