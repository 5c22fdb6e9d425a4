"""Train the small language model, or pin the model that the parameters name."""

import argparse
import sys
from pathlib import Path

from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import Execution, Params
from mfr.config.language_model import LanguageModel, PrepareModel, Text
from mfr.runtime import paths
from mfr.runtime.files import check_outside, writing
from mfr.runtime.progress import Ticker
from mfr.sources.language_model.gpt2 import train_small_gpt2
from mfr.sources.language_model.model import ModelManifest, check_usable, pin, trained_here
from mfr.sources.language_model.text import documents, report, text_files
from mfr.sources.manifest import MANIFEST
from stages.common import call, stage_parser


def run(prepare: PrepareModel, text: Text, execution: Execution, output: Path) -> ModelManifest:
    """Write the folder `output`: a manifest and, for `trained_here`, the model.

    Raises `UserError` if the named model cannot be studied or is inside `output`, and if training fails.
    """
    limit_threads(execution.threads)
    with writing(output) as [folder]:
        folder.mkdir()
        if prepare.trained_here and prepare.model == "trained_here":
            files = text_files(text)
            report(files)
            device = resolve_device(execution.device)
            with Ticker(execution.progress_s) as ticker:
                train_small_gpt2(documents(text, files, "train"), prepare.trained_here, folder, device, ticker)
            manifest = trained_here(folder)
        else:
            check_outside(paths.expanded(prepare.model), output, "prepare_model.model")
            pinned = pin(prepare.model, prepare.revision)
            check_usable(pinned)
            manifest = pinned.manifest
        (folder / MANIFEST).write_text(manifest.text())
    return manifest


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    section = params.section(LanguageModel)
    manifest = run(section.prepare_model, section.text, params.execution, paths.MODEL)
    return f"{section.prepare_model.model}, {manifest.revision or (manifest.weights_sha256 or '')[:12]}"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.prepare_model", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
