"""Gather all runs of one source into metrics, tables and figures."""

import argparse
import json
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mfr import figures, paths
from mfr.comparison import long_table, mean_curves, metrics_tree, summarise
from mfr.metrics import Evaluation
from mfr.params import Params
from stages.common import call, stage_parser, writing


@dataclass
class Run:
    """One method and seed, by the files that its stages left."""

    method: str
    seed: int
    evaluation: Path
    features: Path
    curves: Path


def run(source: str, runs: list[Run], recordings: Path | None = None) -> None:
    """Write the metrics, tables and figures of one source; `recordings` is the table of preprocess_eeg, for EEG."""
    evaluations = [Evaluation.model_validate_json(run.evaluation.read_text()) for run in runs]
    summary = summarise(long_table(evaluations))
    curves = _labelled(runs, [run.curves for run in runs])
    outputs = [paths.metrics(source), *(paths.result(source, name) for name in result_names(source))]
    with writing(*outputs) as [metrics_part, *parts]:
        part = dict(zip(result_names(source), parts))
        metrics_part.write_text(json.dumps(_metrics(evaluations, summary, recordings), indent=2) + "\n")
        summary.to_csv(part["summary.csv"], index=False, float_format="%.6g")
        mean_curves(curves).to_csv(part["learning_curves.csv"], index=False, float_format="%.6g")
        figures.learning_curves(curves).savefig(part["learning_curves.png"])
        figures.bars(summary, "mse", "mean squared error (held out)").savefig(part["reconstruction.png"])
        if source == "synthetic":
            latents = _labelled(runs, [run.features for run in runs])
            figures.similarities(latents, "hungarian").savefig(part["similarity.png"])
        if source == "language_model":
            figures.bars(summary, "loss_recovered", "loss recovered").savefig(part["loss_recovered.png"])
        if recordings is not None:
            shutil.copyfile(recordings, part["recordings.csv"])


def result_names(source: str) -> list[str]:
    """The tables and figures of a source."""
    own = {"synthetic": "similarity.png", "language_model": "loss_recovered.png", "eeg": "recordings.csv"}
    return ["summary.csv", "learning_curves.csv", "learning_curves.png", "reconstruction.png", own[source]]


def _labelled(runs: list[Run], files: list[Path]) -> pd.DataFrame:
    tables = [pd.read_csv(file).assign(method=run.method, seed=run.seed) for run, file in zip(runs, files)]
    return pd.concat(tables, ignore_index=True)


def _metrics(evaluations: list[Evaluation], summary: pd.DataFrame, recordings: Path | None) -> dict[str, object]:
    tree: dict[str, object] = {
        "seeds": len({evaluation.seed for evaluation in evaluations}),
        "heldout_rows": evaluations[0].rows,
    }
    if evaluations[0].model is not None:
        tree["cross_entropy"] = evaluations[0].model.model_dump()
    if recordings is not None:
        table = pd.read_csv(recordings)
        # What comes after the colon is about the one file.
        reasons = Counter(table.loc[table["status"] == "skipped", "reason"].str.split(":").str[0])
        tree["recordings"] = {
            "used": int((table["status"] == "used").sum()),
            "skipped": reasons.total(),
            "reasons": dict(reasons),
        }
    return tree | {"methods": metrics_tree(summary)}


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source = arguments.source
    runs = [
        Run(method, seed, *(place(source, method, seed) for place in (paths.evaluation, paths.features, paths.curves)))
        for method in params.source(source).methods
        for seed in params.seeds
    ]
    run(source, runs, paths.RECORDINGS_TABLE if source == "eeg" else None)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.compare", __doc__, "source").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
