"""Gather all runs of one source into metrics, tables and figures."""

import argparse
import json
import sys
from collections.abc import Mapping

import pandas as pd
import torch

from mfr import figures, paths
from mfr.claims import LATENT, claims
from mfr.comparison import contests, long_table, mean_curves, metrics_tree, summarise
from mfr.consistency import between_seeds, consistency, consistency_tree
from mfr.denoising_table import denoising_table, denoising_tree
from mfr.devices import limit_threads
from mfr.method import Method
from mfr.metrics import Evaluation
from mfr.params import Params, SourceSection, Synthetic
from mfr.sae_file import read_saes
from stages import eeg_results, language_model_results
from stages.common import call, stage_parser, writing
from stages.eeg_results import EegInputs
from stages.runs import Run, labelled, write_table

PLACES = (paths.saes, paths.saes_card, paths.evaluation, paths.features, paths.curves)
TRUTH_MEASURES = {"truth_mmcs": "MMCS to the truth", "recovered_90": "true features recovered", "across": "cosine across SAEs"}
LATENT_COLUMNS = ["across_max", "across_hungarian", "truth_max", "truth_hungarian", "frequency", "between"]


def run(section: SourceSection, source: str, runs: list[Run], eeg: EegInputs | None = None) -> None:
    """Write the metrics, tables and figures of one source, which has `eeg` if that is EEG."""
    evaluations = [Evaluation.model_validate_json(run.evaluation.read_text()) for run in runs]
    table = long_table(evaluations)
    summary = summarise(table, section.compare.versus)
    curves = labelled(runs, [run.curves for run in runs])
    latents = labelled(runs, [run.features for run in runs])
    alike, between = _across_runs(runs, latents)
    outputs = [paths.metrics(source), *(paths.result(source, name) for name in result_names(source))]
    with writing(*outputs) as [metrics_part, *parts]:
        part = dict(zip(result_names(source), parts))
        metrics_part.write_text(json.dumps(_metrics(evaluations, summary, alike, eeg), indent=2) + "\n")
        write_table(summary, part["summary.csv"])
        write_table(table, part["values.csv"])
        write_table(contests(table, rivals(section.methods)), part["contests.csv"])
        write_table(alike[["method", *alike.columns.drop("method")]], part["consistency.csv"])
        write_table(mean_curves(curves), part["learning_curves.csv"])
        figures.learning_curves(curves).savefig(part["learning_curves.png"])
        figures.bars(summary, "mse", "mean squared error (held out)").savefig(part["reconstruction.png"])
        figures.densities(latents).savefig(part["density.png"])
        if isinstance(section, Synthetic):
            nearest = between.groupby(["method", *LATENT], as_index=False)["between"].mean()
            latents = latents.merge(nearest, on=["method", *LATENT], how="left")
            rules = {name: method.reinitialise for name, method in section.methods.items() if method.reinitialise}
            write_table(claims(table, latents, between, section.methods, section.evaluate.recovered_at), part["claims.csv"])
            write_table(latents[["method", *LATENT, *LATENT_COLUMNS]], part["latents.csv"], digits=4)
            write_table(curves, part["curves.csv"], digits=4)
            figures.similarities(latents).savefig(part["similarity.png"])
            figures.activity(latents).savefig(part["activity.png"])
            figures.uneven_initialisations(curves, rules).savefig(part["unevenness.png"])
            figures.over_steps(curves, TRUTH_MEASURES).savefig(part["truth.png"])
        if source == "language_model":
            language_model_results.write(part, table, summary, section)
        if eeg is not None:
            eeg_results.write(part, runs, evaluations, (table, summary), section.methods, eeg)


def result_names(source: str) -> list[str]:
    """The tables and figures of a source."""
    figures_of_truth = ["similarity.png", "activity.png", "unevenness.png", "truth.png"]
    own = {
        "synthetic": ["claims.csv", "latents.csv", "curves.csv", *figures_of_truth],
        "language_model": [*language_model_results.NAMES],
        "eeg": [*eeg_results.NAMES],
    }
    tables = ["summary.csv", "values.csv", "contests.csv", "consistency.csv", "learning_curves.csv"]
    return [*tables, "learning_curves.png", "reconstruction.png", "density.png", *own[source]]


def rivals(methods: Mapping[str, Method]) -> list[str]:
    """What the paper's methods and transplants have to beat: the baseline, AuxK, and these with more steps or another rate."""
    return [
        name
        for name, method in methods.items()
        if not (method.penalty or method.reinitialise or method.transplant) and method.noise_db is None
    ]


def _across_runs(runs: list[Run], latents: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of `mfr.consistency`: of SAEs and of latents, with a column `method`; one method's weights are read at a time."""
    active = {key: torch.from_numpy(own.to_numpy() > 0) for key, own in latents.groupby(["method", "seed"])["frequency"]}
    alike, between = [], []
    for method in dict.fromkeys(run.method for run in runs):
        ensembles = {run.seed: read_saes(run.saes, run.card) for run in runs if run.method == method}
        live = [active[method, seed].view(saes.b.shape) for seed, saes in ensembles.items()]
        alike.append(consistency(list(ensembles.values()), live).assign(method=method))
        between.append(between_seeds(ensembles).assign(method=method))
    return pd.concat(alike, ignore_index=True), pd.concat(between, ignore_index=True)


def _metrics(
    evaluations: list[Evaluation], summary: pd.DataFrame, alike: pd.DataFrame, eeg: EegInputs | None
) -> dict[str, object]:
    tree: dict[str, object] = {
        "seeds": len({evaluation.seed for evaluation in evaluations}),
        "heldout_rows": evaluations[0].rows,
    }
    if evaluations[0].model is not None:
        tree["cross_entropy"] = evaluations[0].model.model_dump()
    if eeg is not None:
        tree["recordings"] = eeg_results.recordings_tree(eeg.recordings)
        tree["denoising"] = denoising_tree(eeg.denoising)
    return tree | {"methods": metrics_tree(summary), "consistency": consistency_tree(alike)}


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source = arguments.source
    limit_threads(params.execution.threads)
    runs = [
        Run(method, seed, *(place(source, method, seed) for place in PLACES))
        for method in params.source(source).methods
        for seed in params.seeds
    ]
    eeg = None
    if source == "eeg":
        denoising = denoising_table(labelled(runs, [paths.denoising(run.method, run.seed) for run in runs]))
        eeg = EegInputs(paths.RECORDINGS_TABLE, paths.vectors("eeg", "heldout"), denoising)
    run(params.source(source), source, runs, eeg)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.compare", __doc__, "source").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
