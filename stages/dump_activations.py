"""Write a language model's activations on training and held-out documents."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerBase

from mfr.compute.devices import limit_threads, resolve_device
from mfr.compute.threads import prefetched
from mfr.config.experiment import Execution, Params
from mfr.config.language_model import DumpActivations, LanguageModel, Text
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.files import writing
from mfr.runtime.interruption import Interrupted, Interruption
from mfr.runtime.progress import Ticker
from mfr.runtime.resume import Parts
from mfr.sources.language_model.activations import BATCHES_AHEAD, Blocks, Capture, Float16OverflowError
from mfr.sources.language_model.model import ModelManifest, PreparedModel, activation_size, load, load_tokenizer, prepared
from mfr.sources.language_model.text import Split, TextFiles, TextManifest, documents, pin, report, text_files
from mfr.sources.language_model.tokens import is_kept, left_out_tokens, tokenise
from mfr.vectors.writer import VectorWriter
from stages.common import call, job_key, stage_parser

DTYPES = {"float16": torch.float16, "float32": torch.float32}
OVERFLOW = "overflow"


def run(model: PreparedModel, text: Text, dump: DumpActivations, execution: Execution, train: Path, heldout: Path) -> None:
    """Write the activations at `dump.hook` to `train` and `heldout`.

    Finished blocks are kept in scratch, so that an interrupted dump resumes
    and gives the same bytes. If a value overflows float16, all vectors are stored as float32.
    """
    limit_threads(execution.threads)
    tokenizer, bridge = load_tokenizer(model), load(model, resolve_device(execution.device))
    activation_size(bridge, dump.hook)
    left_out = left_out_tokens(tokenizer, dump.left_out)
    files = text_files(text)
    report(files)
    write(Job(model.manifest, tokenizer, bridge, text, files, pin(text, files), dump, left_out), execution, train, heldout)


@dataclass
class Job:
    """A model and the text it reads.

    Positions of tokens in `left_out` give no vector; see `is_kept`.
    """

    manifest: ModelManifest
    tokenizer: PreTrainedTokenizerBase
    bridge: TransformerBridge
    text: Text
    files: TextFiles
    text_manifest: TextManifest
    dump: DumpActivations
    left_out: list[int]

    def origin(self) -> dict[str, str]:
        """Facts needed to make the vectors again, by name."""
        return {
            "parameters": json.dumps({"text": self.text.model_dump(), "dump_activations": self.dump.model_dump()}),
            "model": self.manifest.model_dump_json(),
            "text": self.text_manifest.model_dump_json(),
            "hook": self.dump.hook,
            "left_out_tokens": json.dumps(self.left_out),
        }

    def rows(self, split: Split) -> int:
        """Number of vectors to write."""
        return self.dump.train_tokens if split == "train" else self.dump.heldout_tokens

    def sequences(self, split: Split) -> Iterator[np.ndarray]:
        """Just enough sequences (T,) to give `rows(split)` vectors.

        Raises `UserError` if the text is too short.
        """
        rows = 0
        texts = documents(self.text, self.files, split, self.text_manifest.revision)
        for sequence in tokenise(self.tokenizer, texts, self.dump.context):
            yield sequence
            rows += int(is_kept(torch.from_numpy(sequence[None]), self.left_out).sum())
            if rows >= self.rows(split):
                return
        raise UserError(
            f"dump_activations.{split}_tokens = {self.rows(split)}: the {split} documents of {self.text.text} give only "
            f"{rows} vectors; ask for fewer, or give more text"
        )


def write(job: Job, execution: Execution, train: Path, heldout: Path) -> None:
    """Write both files, keeping finished blocks in scratch until then.

    Raises `UserError` if the text is too short, and `Interrupted` after SIGTERM or SIGINT.
    """
    splits: dict[Split, Path] = {"train": train, "heldout": heldout}
    with writing(train, heldout) as outputs, Interruption():
        parts = Parts(paths.parts("dump_activations"), job_key(job.origin()))
        try:
            dtype, blocks = captured(job, parts, execution)
            for split, output in zip(splits, outputs, strict=True):
                write_file(output, job, split, dtype, blocks[split])
        except Interrupted as interrupted:
            message = f"{interrupted}: finished blocks are kept; run again to resume"
            raise Interrupted(message, interrupted.number) from None
    parts.delete()


def captured(job: Job, parts: Parts, execution: Execution) -> tuple[str, dict[Split, Blocks]]:
    """The number format in which all vectors can be stored, and the vectors of both splits."""
    if OVERFLOW not in parts:
        try:
            return job.dump.dtype, _captured(job, parts, execution, job.dump.dtype)
        except Float16OverflowError:
            print("dump_activations: a value overflows float16; restarting with float32", file=sys.stderr)
            parts.put(OVERFLOW, b"")
    return "float32", _captured(job, parts, execution, "float32")


def _captured(job: Job, parts: Parts, execution: Execution, dtype: str) -> dict[Split, Blocks]:
    capture = Capture(job.bridge, job.dump.hook, job.dump.batch, job.left_out, DTYPES[dtype])
    # The smaller split comes first, so that a text that is too short is detected early.
    splits: list[Split] = ["heldout", "train"]
    blocks = {split: Blocks(parts, f"{split}-{dtype}", capture) for split in splits}
    for split, each in blocks.items():
        with Ticker(execution.progress_s) as ticker:
            each.complete(job.sequences(split), execution.checkpoint_s, partial(_report, ticker, split, job.rows(split)))
    return blocks


def _report(ticker: Ticker, split: Split, wanted: int, rows: int) -> None:
    ticker(f"dump_activations: {min(rows, wanted)} of {wanted} {split} vectors")


def write_file(path: Path, job: Job, split: Split, dtype: str, blocks: Blocks) -> None:
    """Write one file: `job.rows(split)` vectors, and the sequences (S, T) they come from."""
    columns = {"vectors": ((blocks.size,), dtype)} | {name: ((), "int32") for name in ("token_ids", "position", "sequence")}
    tokens: list[np.ndarray] = []
    stored = prefetched(blocks.batches(), BATCHES_AHEAD)
    with VectorWriter(path, "language_model", columns) as writer, closing(stored) as batches:
        writer.describe("split", split)
        for name, value in job.origin().items():
            writer.describe(name, value)
        if dtype != job.dump.dtype:
            writer.describe("dtype", f"{dtype}, because a value overflows {job.dump.dtype}")
        for batch, vectors in batches:
            keep = job.rows(split) - writer.rows
            sequence, position = blocks.capture.kept(batch).nonzero()
            writer.append(
                vectors=vectors[:keep],
                token_ids=batch[sequence, position][:keep],
                position=position.astype(np.int32)[:keep],
                sequence=(sequence + len(tokens)).astype(np.int32)[:keep],
            )
            tokens += list(batch)
        writer.attach("tokens", np.array(tokens))


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    section = params.section(LanguageModel)
    train, heldout = (paths.vectors("language_model", split) for split in ("train", "heldout"))
    dump = section.dump_activations
    model = prepared(paths.MODEL, section.prepare_model.model)
    run(model, section.text, dump, params.execution, train, heldout)
    return f"vectors: {dump.train_tokens} train, {dump.heldout_tokens} heldout"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.dump_activations", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
