"""Describe each latent of one source: activity, meaning, and nearest latents elsewhere."""

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import Execution, Params
from mfr.config.source import SourceSection
from mfr.description.contexts import contexts_of
from mfr.description.latents import describe
from mfr.evaluation.files import checked_activity
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.progress import Ticker
from mfr.runtime.wording import counted
from mfr.saes.files import check_saes, read_checked
from mfr.saes.identity import check_card
from mfr.vectors.reader import Vectors
from stages.common import call, stage_parser


def run(name: str, section: SourceSection, runs: Sequence[tuple[str, int]], execution: Execution) -> int:
    """Write one Parquet table per run (method, seed); return the total number of latents."""
    limit_threads(execution.threads)
    device = resolve_device(execution.device)
    output = paths.descriptions(name)
    latents = 0
    with (
        writing(output) as [part],
        Vectors(paths.vectors(name, "heldout")) as vectors,
        Ticker(execution.progress_s) as report,
    ):
        cards = [check_saes(paths.saes(name, *run), paths.saes_card(name, *run)) for run in runs]
        activities = [checked_activity(name, *run, vectors.identity()) for run in runs]
        contexts = contexts_of(section, vectors, device)
        for done, ((method, seed), card, activity) in enumerate(zip(runs, cards, activities, strict=True)):
            report(f"describe: {done} of {counted(len(runs), 'run')}")
            seeds = {other: paths.saes(name, method, other) for own, other in runs if own == method and other != seed}
            file = part / paths.description(name, method, seed).relative_to(output)
            file.parent.mkdir(parents=True)
            weights = paths.saes(name, method, seed)
            # Assigned to a name, the ensemble would stay in memory while the next one is read.
            table = describe(read_checked(weights, card).to(device), pd.read_parquet(activity), seeds, contexts)
            table.to_parquet(file, index=False)
            latents += len(table)
    return latents


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    source, section = arguments.source, params.source(arguments.source)
    runs = [(method, seed) for method in section.methods for seed in params.seeds]
    for method, seed in runs:
        check_card(paths.saes_card(source, method, seed), source, section, method, seed)
    return counted(run(source, section, runs, params.execution), "latent")


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.describe", __doc__, "source").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
