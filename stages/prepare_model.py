"""Train the small language model, or pin the one that the parameters name."""

import argparse
import sys
from pathlib import Path

from mfr import paths
from mfr.devices import limit_threads, resolve_device
from mfr.language_model import ModelManifest, pin, weights_sha256
from mfr.params import Execution, Params, PrepareModel, Text
from mfr.pinned import MANIFEST
from mfr.progress import Ticker
from mfr.small_gpt2 import train_small_gpt2
from mfr.text import documents
from stages.common import call, check_outside, stage_parser, writing


def run(prepare: PrepareModel, text: Text, execution: Execution, output: Path) -> None:
    """Write the folder `output`: its manifest and, for `trained_here`, the model.

    Raises `UserError` where the named folder is no model, or lies in the output itself.
    """
    with writing(output) as [folder]:
        folder.mkdir()
        if prepare.trained_here and prepare.model == "trained_here":
            limit_threads(execution.threads)
            device = resolve_device(execution.device)
            with Ticker(execution.progress_s) as ticker:
                train_small_gpt2(documents(text, "train"), prepare.trained_here, folder, device, ticker)
            manifest = ModelManifest(reference=".", weights_sha256=weights_sha256(folder))
        else:
            check_outside(Path(prepare.model).expanduser(), output, "prepare_model.model")
            manifest = pin(prepare.model, prepare.revision)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    section = params.language_model
    run(section.prepare_model, section.text, params.execution, paths.MODEL)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.prepare_model", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
