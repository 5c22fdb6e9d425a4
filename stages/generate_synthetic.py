"""Draw the synthetic vectors: their true features and sparse codes."""

import argparse
import sys
from pathlib import Path

from mfr import paths
from mfr.params import GenerateSynthetic, Params
from mfr.store import VectorWriter
from mfr.synthetic import codes, true_features
from stages.common import call, stage_parser, writing


def run(settings: GenerateSynthetic, train: Path, heldout: Path) -> None:
    """Write training and held-out vectors of the same features to two HDF5 files."""
    active = settings.active_per_group * (settings.groups if settings.every_group else 1)
    columns = {"active": ((active,), "uint16"), "coefficients": ((active,), "float32")}
    features = true_features(settings)
    with writing(train, heldout) as parts:
        for part, split, rows in zip(parts, ("train", "heldout"), (settings.train_rows, settings.heldout_rows)):
            with VectorWriter(part, "synthetic", columns) as writer:
                writer.describe("parameters", settings.model_dump_json())
                writer.attach("features", features)
                for indices, coefficients in codes(settings, split, rows):
                    writer.append(active=indices, coefficients=coefficients)


def _stage(_: argparse.Namespace, params: Params) -> None:
    settings = params.synthetic.generate_synthetic
    run(settings, paths.vectors("synthetic", "train"), paths.vectors("synthetic", "heldout"))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.generate_synthetic", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
