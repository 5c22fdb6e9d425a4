"""Measure one trained ensemble on held-out vectors."""

import argparse
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import Execution, Params
from mfr.config.source import EvaluateTruth, SourceSection
from mfr.evaluation.metrics import (
    activities,
    compared,
    correlation,
    latent_table,
    sae_metrics,
    similarities_to_truth,
    sum_over,
    truth_metrics,
)
from mfr.evaluation.own import own_measures
from mfr.evaluation.records import Evaluation
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.records import file_sha256
from mfr.saes.files import check_size, read_saes
from mfr.saes.identity import check_card
from mfr.vectors.reader import Vectors
from stages.common import call, find_method, stage_parser


@dataclass
class Outputs:
    """Files that the stage writes: metrics (JSON), table of latents (CSV), and when each latent is active (Parquet)."""

    evaluation: Path
    latents: Path
    activity: Path


@dataclass
class Trained:
    """Files of a trained ensemble: weights, and the card that describes them."""

    saes: Path
    card: Path


def run(
    trained: Trained, heldout: Path, method: str, section: SourceSection, outputs: Outputs, execution: Execution
) -> Evaluation:
    """Write an ensemble's metrics and tables to `outputs`."""
    settings = section.evaluate
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    limit_threads(execution.threads)
    saes = read_saes(trained.saes, trained.card).to(resolve_device(execution.device))
    assert saes.card is not None
    files = outputs.evaluation, outputs.latents, outputs.activity
    with writing(*files) as [evaluation_part, latents_part, activity_part], Vectors(heldout) as vectors:
        check_size(vectors, saes, trained.saes)
        sums, pairs = sum_over(vectors, saes), compared(saes.W)
        features = vectors.features
        truth = None if features is None else similarities_to_truth(saes.W, features)
        table = latent_table(saes, sums, pairs, truth)
        table.to_csv(latents_part, index=False, float_format="%.6g")
        activities(sums).to_parquet(activity_part, index=False)
        evaluation = Evaluation(
            source=vectors.source,
            method=method,
            seed=saes.card.seed,
            rows=vectors.rows,
            saes=[sae_metrics(sums, i, k) for i, k in enumerate(saes.k)],
            pairs=[pair.metrics for pair in pairs],
            saes_sha256=saes.card.saes_sha256,
            heldout_sha256=vectors.identity(),
            latents_sha256=file_sha256(latents_part),
            activity_sha256=file_sha256(activity_part),
        )
        if truth and isinstance(settings, EvaluateTruth):
            for own, metrics in zip(truth, evaluation.saes, strict=True):
                metrics.truth = truth_metrics(own, settings.recovered_at)
            evaluation.correlation = correlation(table) if len(saes.k) > 1 else None
        reconstructions = [partial(saes.reconstruct, i) for i in range(len(saes.k))]
        measures = own_measures(section, vectors, sums.mean, reconstructions, saes.W.device)
        evaluation.own = measures.of_source
        for metrics, values in zip(evaluation.saes, measures.of_saes, strict=True):
            metrics.own = values
        evaluation_part.write_text(evaluation.text(exclude_none=True))
    return evaluation


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    section = params.source(source)
    find_method(section, method)
    trained = Trained(paths.saes(source, method, seed), paths.saes_card(source, method, seed))
    outputs = Outputs(*(place(source, method, seed) for place in (paths.evaluation, paths.features, paths.activity)))
    check_card(trained.card, source, section, method, seed)
    evaluation = run(trained, paths.vectors(source, "heldout"), method, section, outputs, params.execution)
    mean = sum(sae.fvu for sae in evaluation.saes) / len(evaluation.saes)
    return f"held-out fvu {mean:.3g}"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.evaluate", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
