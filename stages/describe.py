"""Tell what each latent of all runs of one source stands for: where it is active, and who is like it in other SAEs."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from mfr import paths
from mfr.devices import limit_threads, resolve_device
from mfr.features import activities, activity_table, by_latent, partners
from mfr.params import Execution, Params, Source
from mfr.progress import Ticker
from mfr.sae import Ensemble
from mfr.sae_file import check_size, read_dictionary, read_saes
from mfr.store import Vectors
from stages.common import call, stage_parser, writing

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

STRONGEST = 10

# From numbers of held-out rows to columns that say where each row comes from.
Places = Callable[[np.ndarray], dict[str, np.ndarray]]


def run(source: Source, runs: Sequence[tuple[str, int]], execution: Execution) -> None:
    """Write a table for the ensemble of each method and seed in `runs`, as Parquet; docs/features.md explains its columns."""
    limit_threads(execution.threads)
    device = resolve_device(execution.device)
    output = paths.descriptions(source)
    with (
        writing(output) as [part],
        Vectors(paths.vectors(source, "heldout")) as vectors,
        Ticker(execution.progress_s) as tell,
    ):
        model = _model(device) if source == "language_model" else None
        places = where(vectors, model)
        for done, (method, seed) in enumerate(runs):
            tell(f"describe: {done} of {len(runs)} runs")
            seeds = {other: paths.saes(source, method, other) for name, other in runs if name == method and other != seed}
            file = part / paths.description(source, method, seed).relative_to(output)
            file.parent.mkdir(parents=True)
            # A name for the ensemble here would keep it in memory while the next is read.
            table = describe(_saes(source, method, seed, vectors).to(device), vectors, seeds, places, model)
            table.to_parquet(file, index=False)


def _saes(source: Source, method: str, seed: int, vectors: Vectors) -> Ensemble:
    weights = paths.saes(source, method, seed)
    saes = read_saes(weights, paths.saes_card(source, method, seed))
    check_size(vectors, saes, weights)
    return saes


def describe(
    saes: Ensemble, vectors: Vectors, seeds: Mapping[int, Path], places: Places, model: "TransformerBridge | None"
) -> pd.DataFrame:
    """One row a latent of every SAE; `seeds` are the weights of the same method's ensembles of other seeds."""
    hidden = saes.W.shape[1]
    tables = []
    for sae, activity in enumerate(activities(vectors, saes, STRONGEST)):
        table = pd.DataFrame({"sae": sae, "k": saes.k[sae], "latent": np.arange(hidden)})
        table = table.join(activity_table(activity, vectors.rows))
        rows, ends = np.concatenate(table["top_rows"].to_numpy()), table["top_rows"].map(len).cumsum()
        table = table.assign(**{name: by_latent(column, ends) for name, column in places(rows).items()})
        if model is not None:
            table = table.assign(**_promoted(model, saes.W[sae]))
        tables.append(table.join(partners(saes.W[sae], _others(saes, sae, seeds))))
    return pd.concat(tables, ignore_index=True)


def where(vectors: Vectors, model: "TransformerBridge | None") -> Places:
    """What tells of rows where they come from: the text around a token, or the recording and the window's start."""
    if model is not None:
        # Imported here for the sake of sources that need no tokenizer.
        from mfr.feature_text import contexts

        tokens, sequence, position = (vectors.attached(name) for name in ("tokens", "sequence", "position"))
        return lambda rows: {"top_contexts": contexts(model.tokenizer, tokens, sequence[rows], position[rows])}
    if vectors.source == "eeg":
        recording, start_s = vectors.attached("recording"), vectors.attached("start_s")
        files = np.array(json.loads(vectors.fact("files")), dtype=object)
        return lambda rows: {"top_recordings": files[recording[rows]], "top_starts_s": start_s[rows]}
    return lambda rows: {}


def _others(saes: Ensemble, sae: int, seeds: Mapping[int, Path]) -> Iterator[tuple[str, torch.Tensor | None]]:
    for other, W in enumerate(saes.W):
        yield f"sae_{other}", None if other == sae else W
    for seed, weights in seeds.items():
        yield f"seed_{seed}", read_dictionary(weights, sae)


def _model(device: torch.device) -> "TransformerBridge":
    # transformer-lens takes seconds to import, and only language models need it.
    from mfr.language_model import load

    return load(paths.MODEL, device)


def _promoted(model: "TransformerBridge", W: torch.Tensor) -> dict[str, object]:
    from mfr.feature_text import promoted

    if W.shape[1] != model.cfg.d_model:
        return {"promoted_tokens": None, "promoted_logits": None}
    tokens, logits = promoted(model, W, STRONGEST)
    return {"promoted_tokens": list(tokens), "promoted_logits": list(logits)}


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    section = params.source(arguments.source)
    run(arguments.source, [(method, seed) for method in section.methods for seed in params.seeds], params.execution)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.describe", __doc__, "source").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
