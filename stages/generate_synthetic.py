"""Generate synthetic vectors: true features, and sparse codes over them."""

import argparse
import sys
from pathlib import Path

from mfr.compute.devices import limit_threads
from mfr.compute.seeds import stream_seed
from mfr.config.experiment import Params
from mfr.config.synthetic import GenerateSynthetic, Synthetic
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.interruption import check, deferred
from mfr.sources.synthetic.generator import active_features, codes, true_features
from mfr.vectors.writer import VectorWriter
from stages.common import call, stage_parser

ROWS_AT_ONCE = 50_000


def run(settings: GenerateSynthetic, train: Path, heldout: Path) -> None:
    """Write training and held-out vectors of the same true features to two HDF5 files.

    Each has its own random stream, so its vectors do not depend on the other's number of rows.
    """
    active = active_features(settings)
    columns = {"active": ((active,), "uint16"), "coefficients": ((active,), "float32")}
    with writing(train, heldout) as parts, deferred():
        for part, split, rows in zip(parts, ("train", "heldout"), (settings.train_rows, settings.heldout_rows)):
            with VectorWriter(part, "synthetic", columns) as writer:
                writer.describe("split", split)
                writer.describe("parameters", settings.model_dump_json())
                writer.attach("features", true_features(settings))
                if rows is None:
                    writer.describe("drawn", settings.model_dump_json())
                    continue
                stream = stream_seed(f"vectors {split}", settings.seed)
                for first in range(0, rows, ROWS_AT_ONCE):
                    indices, coefficients = codes(settings, stream, first, min(ROWS_AT_ONCE, rows - first))
                    writer.append(active=indices, coefficients=coefficients)
                    check()


def _stage(_: argparse.Namespace, params: Params) -> str:
    limit_threads(params.execution.threads)
    settings = params.section(Synthetic).generate_synthetic
    run(settings, paths.vectors("synthetic", "train"), paths.vectors("synthetic", "heldout"))
    train = "unlimited" if settings.train_rows is None else settings.train_rows
    return f"vectors: {train} train, {settings.heldout_rows} heldout"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.generate_synthetic", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
