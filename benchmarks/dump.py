"""Time dumping activations against a bare hook on the same Hugging Face model.

The model has GPT-2 Small's shape and random weights. Each round dumps some tokens, from text in a file to vectors in files. It
then runs the same batches with a hook that keeps nothing and stops the model after its first MLP. Loading is not timed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from pydantic import BaseModel
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.figures import highest_rss_kb, seconds, show
from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import Execution
from mfr.config.language_model import DumpActivations, PrepareModel, Text
from mfr.sources.language_model.gpt2 import train_tokenizer
from mfr.sources.language_model.model import activation_size, load, load_tokenizer, prepared
from mfr.sources.language_model.text import documents, pin, text_files
from stages import dump_activations, prepare_model
from stages.dump_activations import Job

GPT2_SMALL = GPT2Config()
DUMP = DumpActivations(train_tokens=32_000, heldout_tokens=127, batch=32)
VOCABULARY = 4096
DOCUMENTS, CHARACTERS = 600, 4000


class Figures(BaseModel):
    """Tokens per second, and their ratios: medians over rounds.

    dump_over_hook_cpu is per second of processor time, which other processes disturb less. peak_rss_mb is the memory of a dump
    beyond the imported libraries; it includes the model of model_mb.
    """

    threads: int
    rounds: int
    tokens: int
    dump_over_hook: float
    dump_over_hook_cpu: float
    peak_rss_mb: float
    model_mb: float
    dump_tokens_per_s: float
    hook_tokens_per_s: float


class Stop(Exception):  # noqa: N818
    """Stops the model once it has reached the hook."""


class Rates(NamedTuple):
    """Tokens of a round, the model's size, and tokens per second by the clock and of processor time: medians over rounds."""

    tokens: int
    model_mb: float
    dump: np.ndarray
    hook: np.ndarray


def measure(config: GPT2Config, dump: DumpActivations, rounds: int, threads: int) -> Figures:
    """Time dumps of a model with this configuration on the CPU, in a temporary folder."""
    execution = Execution(device="cpu", threads=threads)
    limit_threads(threads)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        text = prepare(config, execution, Text(), DOCUMENTS)
        peak = get_context("spawn").Pool(1).apply(peak_rss_mb, (text, dump, execution))
        found = rates(text, dump, rounds, execution)
    ratio, cpu_ratio = (found.dump / found.hook).tolist()
    return Figures(
        threads=threads,
        rounds=rounds,
        tokens=found.tokens,
        dump_over_hook=ratio,
        dump_over_hook_cpu=cpu_ratio,
        peak_rss_mb=peak,
        model_mb=found.model_mb,
        dump_tokens_per_s=float(found.dump[0]),
        hook_tokens_per_s=float(found.hook[0]),
    )


def rates(text: Text, dump: DumpActivations, rounds: int, execution: Execution) -> Rates:
    """Time dumps of the model that `prepare` wrote to the current folder."""
    device = resolve_device(execution.device)
    model = prepared(Path("model"), "folder")
    bridge, plain = load(model, device), GPT2LMHeadModel.from_pretrained("folder").eval().to(device)
    found = text_files(text)
    job = Job(model.manifest, load_tokenizer(model), bridge, text, found, pin(text, found), dump, [])
    activation_size(bridge, dump.hook)
    times: dict[str, list[tuple[float, float]]] = {"dump": [], "hook": []}
    for round_ in range(rounds):
        files = Path("train.h5"), Path("heldout.h5")
        times["dump"].append(_timed(partial(dump_activations.write, job, execution, *files), device))
        batches = [batch for path in files for batch in _tokens(path).split(dump.batch)]
        times["hook"].append(_timed(partial(_hook, plain, [batch.to(device) for batch in batches]), device))
        print(f"round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
    tokens = sum(batch.numel() for batch in batches)
    of_dump, of_hook = (tokens / np.median(each, axis=0) for each in times.values())
    return Rates(tokens, sum(parameter.nbytes for parameter in plain.parameters()) / 2**20, of_dump, of_hook)


def peak_rss_mb(text: Text, dump: DumpActivations, execution: Execution) -> float:
    """Peak memory of the whole stage beyond the imported libraries, in MB; needs a fresh process."""
    before = highest_rss_kb()
    dump_activations.run(prepared(Path("model"), "folder"), text, dump, execution, Path("train.h5"), Path("heldout.h5"))
    return (highest_rss_kb() - before) / 1024


def prepare(config: GPT2Config, execution: Execution, documentation: Text, count: int) -> Text:
    """Write the inputs of a dump to the current folder.

    Saves the model with a tokenizer in `folder`, pins it in `model`, and writes `count` documents of installed packages to a
    file.
    """
    texts = list(islice(documents(documentation, text_files(documentation), "train"), count))
    text = Text(text="texts.jsonl")
    pieces = [each[start : start + CHARACTERS] for each in texts for start in range(0, len(each), CHARACTERS)]
    Path(text.text).write_text("".join(json.dumps({"text": piece}) + "\n" for piece in pieces))
    train_tokenizer(texts, min(VOCABULARY, config.vocab_size)).save_pretrained("folder")
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained("folder")
    prepare_model.run(PrepareModel(model="folder"), text, execution, Path("model"))
    return text


def _tokens(path: Path) -> torch.Tensor:
    with h5py.File(path) as file:
        return torch.from_numpy(file["tokens"][:]).long()


def _timed(run: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Elapsed seconds, and seconds of this process's processor time."""
    before = time.process_time()
    return seconds(run, device), time.process_time() - before


def _hook(plain: GPT2LMHeadModel, batches: list[torch.Tensor]) -> None:
    def stop(*_: object) -> None:
        raise Stop

    handle = plain.transformer.h[0].mlp.register_forward_hook(stop)
    for tokens in batches:
        with torch.no_grad(), suppress(Stop):
            plain(tokens)
    handle.remove()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dump", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="rounds to take medians over (default: 8)")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    # The tokenizer has its own threads.
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    show(measure(GPT2_SMALL, DUMP, arguments.rounds, arguments.threads), arguments.json)


if __name__ == "__main__":
    main()
