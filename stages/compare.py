"""Gather all runs of one source into metrics, tables and figures."""

import argparse
import json
import sys

from mfr.comparison.report import headline, write_results
from mfr.comparison.runs import Run, Runs
from mfr.compute.devices import limit_threads
from mfr.config.experiment import Params
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.wording import counted
from mfr.saes.identity import check_card
from stages.common import call, stage_parser


def run(runs: Runs) -> None:
    """Write one source's metrics file and results folder.

    Both replace earlier ones only after everything has been computed and written.
    """
    with writing(paths.metrics(runs.source), paths.results(runs.source)) as [metrics, folder]:
        folder.mkdir()
        write_results(runs, folder)
        metrics.write_text(json.dumps(headline(runs), indent=2, allow_nan=False) + "\n")


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    """Compare all methods and seeds of `--source`; return the end of the log line."""
    limit_threads(params.execution.threads)
    source = arguments.source
    section = params.source(source)
    runs = Runs(source, section, [Run(source, method, seed) for method in section.methods for seed in params.seeds])
    for one in runs.runs:
        check_card(one.path(paths.saes_card), source, section, one.method, one.seed)
    run(runs)
    return f"{counted(len(runs.runs), 'run')} of {counted(len(runs.methods), 'method')}"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.compare", __doc__, "source").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
