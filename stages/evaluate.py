"""Measure one trained ensemble on held-out vectors, and a language model with its SAEs spliced in."""

import argparse
import json
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from mfr import paths
from mfr.devices import limit_threads, resolve_device
from mfr.errors import UserError
from mfr.metrics import (
    Compared,
    Evaluation,
    ModelMetrics,
    SpliceMetrics,
    Sums,
    compared,
    correlation,
    sae_metrics,
    similarity_table,
    sum_over,
    truth_metrics,
)
from mfr.params import EvaluateLanguageModel, EvaluateSynthetic, Execution, Params
from mfr.sae import Ensemble
from mfr.sae_file import check_size, read_saes
from mfr.store import Vectors
from stages.common import call, find_method, stage_parser, writing


@dataclass
class Trained:
    """What train left of one ensemble: its weights and their card."""

    saes: Path
    card: Path


def run(
    trained: Trained,
    heldout: Path,
    method: str,
    settings: EvaluateSynthetic | EvaluateLanguageModel | None,
    outputs: tuple[Path, Path],
    execution: Execution,
) -> None:
    """Write the metrics (JSON) and the table of latents (CSV) of one ensemble to `outputs`.

    `settings` are those of the vectors' source; recordings have none.
    """
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    limit_threads(execution.threads)
    saes = read_saes(trained.saes, trained.card).to(resolve_device(execution.device))
    with writing(*outputs) as [evaluation_part, features_part], Vectors(heldout) as vectors:
        check_size(vectors, saes, trained.saes)
        sums = sum_over(vectors, saes)
        pairs = compared(saes.W)
        table = latent_table(saes, sums, pairs, vectors.features)
        evaluation = Evaluation(
            source=vectors.source,
            method=method,
            seed=json.loads(trained.card.read_text())["seed"],
            rows=vectors.rows,
            saes=[sae_metrics(sums, i, k) for i, k in enumerate(saes.k)],
            pairs=[pair.metrics for pair in pairs],
        )
        if vectors.features is not None and isinstance(settings, EvaluateSynthetic):
            add_truth(evaluation, saes, vectors.features, table, settings.recovered_at)
        if isinstance(settings, EvaluateLanguageModel):
            add_splices(evaluation, saes, vectors, sums.mean, settings.sequences)
        evaluation_part.write_text(evaluation.model_dump_json(indent=2, exclude_none=True) + "\n")
        table.to_csv(features_part, index=False, float_format="%.6g")


def latent_table(saes: Ensemble, sums: Sums, pairs: list[Compared], features: torch.Tensor | None) -> pd.DataFrame:
    """One row a latent: how often and how strongly it is active, and its similarity to other SAEs and to the truth."""
    table = similarity_table(saes.W, pairs, None if features is None else features.to(saes.W))
    count = sums.count.flatten().numpy()
    table.insert(2, "k", [saes.k[sae] for sae in table["sae"]])
    table.insert(3, "frequency", count / sums.rows)
    table.insert(4, "mean_activation", sums.strength.flatten().numpy() / count.clip(min=1))
    return table


def add_truth(evaluation: Evaluation, saes: Ensemble, features: torch.Tensor, table: pd.DataFrame, recovered_at: float) -> None:
    """Compare the SAEs with the true features."""
    for i, metrics in enumerate(evaluation.saes):
        metrics.truth = truth_metrics(saes.W[i], features.to(saes.W), recovered_at)
    if len(saes.k) > 1:
        evaluation.correlation = correlation(table)


def add_splices(evaluation: Evaluation, saes: Ensemble, vectors: Vectors, mean: torch.Tensor, sequences: int) -> None:
    """Run the language model with each SAE's reconstruction in place of the activation."""
    # transformer-lens takes seconds to import, and only language models need it.
    from mfr.language_model import load
    from mfr.splice import damages
    from mfr.tokens import is_kept

    tokens = torch.from_numpy(vectors.attached("tokens"))
    if len(tokens) < sequences:
        raise UserError(
            f"evaluate.sequences = {sequences}, but {vectors.path} holds {len(tokens)}: "
            "ask for fewer, or raise dump_activations.heldout_tokens"
        )
    reconstructions = [partial(saes.reconstruct, i) for i in range(len(saes.k))]
    hook = vectors.fact("hook")
    tokens = tokens[:sequences]
    replaced = is_kept(tokens, json.loads(vectors.fact("left_out_tokens")))
    damage = damages(load(paths.MODEL, saes.W.device), tokens, replaced, hook, mean, reconstructions)
    zero, mean_ablated = damage.zero.cross_entropy, damage.mean.cross_entropy
    for name, loss in (("zeros", zero), ("the mean", mean_ablated)):
        if loss == damage.intact:
            raise UserError(f"{name} at {hook} leaves the model's loss as it is, so none can be recovered: choose another hook")
    evaluation.model = ModelMetrics(intact=damage.intact, zero=zero, mean=mean_ablated)
    for metrics, spliced in zip(evaluation.saes, damage.spliced, strict=True):
        metrics.splice = SpliceMetrics(
            cross_entropy=spliced.cross_entropy,
            kl=spliced.kl,
            loss_recovered=damage.recovered(spliced, damage.zero),
            loss_recovered_of_mean=damage.recovered(spliced, damage.mean),
        )


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    find_method(params.source(source), method)
    settings: dict[str, EvaluateSynthetic | EvaluateLanguageModel] = {
        "synthetic": params.synthetic.evaluate,
        "language_model": params.language_model.evaluate,
    }
    run(
        Trained(paths.saes(source, method, seed), paths.saes_card(source, method, seed)),
        paths.vectors(source, "heldout"),
        method,
        settings.get(source),
        (paths.evaluation(source, method, seed), paths.features(source, method, seed)),
        params.execution,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.evaluate", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
