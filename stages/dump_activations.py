"""Write a language model's activations on training and on held-out documents."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from mfr import paths
from mfr.devices import limit_threads, resolve_device
from mfr.errors import UserError
from mfr.language_model import capture, load, model_manifest, tokenise
from mfr.params import DumpActivations, Execution, Params, Text
from mfr.progress import Ticker
from mfr.store import VectorWriter
from mfr.text import Split, documents
from stages.common import call, stage_parser, writing


def run(model: Path, text: Text, dump: DumpActivations, execution: Execution, train: Path, heldout: Path) -> None:
    """Write the vectors at `dump.hook`, in `train` and `heldout`, of the model that the folder `model` holds or pins."""
    limit_threads(execution.threads)
    bridge = load(model, resolve_device(execution.device))
    columns = {"vectors": ((_size(bridge, dump),), dump.dtype)} | {
        name: ((), "int32") for name in ("token_ids", "position", "sequence")
    }
    origin = {
        "parameters": json.dumps({"text": text.model_dump(), "dump_activations": dump.model_dump()}),
        "model": model_manifest(model).model_dump_json(),
        "hook": dump.hook,
    }
    wanted: dict[Split, int] = {"train": dump.train_tokens, "heldout": dump.heldout_tokens}
    with writing(train, heldout) as parts, Ticker(execution.progress_s) as ticker:
        for (split, rows), part in zip(wanted.items(), parts, strict=True):
            sequences = tokenise(bridge.tokenizer, documents(text, split), dump.context)
            with VectorWriter(part, "language_model", columns) as writer:
                for name, value in origin.items():
                    writer.describe(name, value)
                written = write_vectors(writer, bridge, sequences, dump, rows, ticker)
                if written < rows:
                    raise UserError(
                        f"dump_activations.{split}_tokens = {rows}, but the {split} documents of {text.text} hold only "
                        f"{written} tokens: ask for fewer, or give more text"
                    )


def write_vectors(
    writer: VectorWriter,
    bridge: TransformerBridge,
    sequences: Iterator[np.ndarray],
    dump: DumpActivations,
    rows: int,
    ticker: Ticker,
) -> int:
    """Append up to `rows` vectors, BOS positions left out, and the whole sequences (S, T) that they come from.

    Returns the number of vectors, fewer than `rows` only where the sequences end.
    """
    each = dump.context - 1
    needed = -(-rows // each)
    tokens: list[np.ndarray] = []
    while batch := list(islice(sequences, min(dump.batch, needed - len(tokens)))):
        ids = np.stack(batch)
        vectors = capture(bridge, torch.from_numpy(ids), dump.hook)[:, 1:]
        keep = rows - writer.rows
        writer.append(
            vectors=vectors.flatten(0, 1)[:keep].cpu().numpy(),
            token_ids=ids[:, 1:].reshape(-1)[:keep],
            position=np.tile(np.arange(1, dump.context, dtype=np.int32), len(ids))[:keep],
            sequence=np.repeat(np.arange(len(tokens), len(tokens) + len(ids), dtype=np.int32), each)[:keep],
        )
        tokens += batch
        ticker(f"dump_activations: {writer.rows} of {rows} vectors")
    writer.attach("tokens", np.array(tokens))
    return writer.rows


def _size(bridge: TransformerBridge, dump: DumpActivations) -> int:
    return capture(bridge, torch.zeros(1, dump.context, dtype=torch.int32), dump.hook).shape[2]


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    section = params.language_model
    train, heldout = (paths.vectors("language_model", split) for split in ("train", "heldout"))
    run(paths.MODEL, section.text, section.dump_activations, params.execution, train, heldout)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.dump_activations", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
