"""Draw the synthetic vectors: their true features and sparse codes."""

import argparse
import sys
from pathlib import Path

from mfr import paths
from mfr.devices import limit_threads
from mfr.interruption import deferred
from mfr.params import GenerateSynthetic, Params
from mfr.seeds import stream_seed
from mfr.store import VectorWriter
from mfr.synthetic import active_features, codes, true_features
from stages.common import call, stage_parser, writing

ROWS_AT_ONCE = 50_000


def run(settings: GenerateSynthetic, train: Path, heldout: Path) -> None:
    """Write training and held-out vectors of the same features to two HDF5 files.

    Their streams are apart, so that neither depends on the other's number.
    """
    active = active_features(settings)
    columns = {"active": ((active,), "uint16"), "coefficients": ((active,), "float32")}
    with writing(train, heldout) as parts, deferred() as check:
        for part, split, rows in zip(parts, ("train", "heldout"), (settings.train_rows, settings.heldout_rows)):
            with VectorWriter(part, "synthetic", columns) as writer:
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


def _stage(_: argparse.Namespace, params: Params) -> None:
    limit_threads(params.execution.threads)
    settings = params.synthetic.generate_synthetic
    run(settings, paths.vectors("synthetic", "train"), paths.vectors("synthetic", "heldout"))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.generate_synthetic", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
