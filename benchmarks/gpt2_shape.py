"""Measure time and memory of every stage of a language model at GPT-2 Small's full shape.

Stages run as the engines run them. The model has random weights, which changes neither time nor memory. 50,000 tokens of the
documentation of installed packages are dumped. The SAEs have the paper's shape and train on these tokens once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
import yaml
from transformers import GPT2Config, GPT2LMHeadModel

from mfr.config.language_model import PrepareModel, Text
from mfr.config.load import content
from mfr.sources.language_model.gpt2 import train_tokenizer
from mfr.sources.language_model.text import documents, text_files
from workflow.experiment import compose

ROOT = Path(__file__).parents[1]
TOKENS, HELDOUT, SEQUENCES = 50_000, 12_700, 20
METHODS = ("baseline", "mfr", "auxk")


def stages() -> list[list[str]]:
    """Words of each stage's command, in the order of the graph."""
    source, runs = ["--source", "language_model"], [["--method", method, "--seed", "0"] for method in METHODS]
    of_runs = [[stage, *source, *run] for run in runs for stage in ("train", "evaluate", "export")]
    return [["prepare_model"], ["dump_activations"], *of_runs, ["describe", *source], ["compare", *source]]


def prepare(folder: Path) -> None:
    """Write a model, its tokenizer and params.yaml to `folder`."""
    params = content(compose("paper", ROOT / "params"), "paper")
    model = params["language_model"]
    params["seeds"] = [0]
    model["prepare_model"] = PrepareModel(model="gpt2_shape").model_dump()
    model["text"] = Text().model_dump()
    model["dump_activations"] |= {"train_tokens": TOKENS, "heldout_tokens": HELDOUT}
    model["methods"] = {name: model["methods"][name] for name in METHODS}
    model["train"]["steps"] = TOKENS // model["train"]["batch"]
    model["evaluate"]["sequences"] = SEQUENCES
    params["execution"]["threads"] = torch.get_num_threads()
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder / "gpt2_shape")
    texts = documents(Text(), text_files(Text()), "train")
    train_tokenizer(list(islice(texts, 600)), 8192).save_pretrained(folder / "gpt2_shape")


def measure(folder: Path) -> pd.DataFrame:
    """Run all stages; return columns stage, method, seconds and peak_mb.

    Raises `subprocess.CalledProcessError` if a stage fails. A process starts with its parent's memory, so no peak is below the
    memory of this process.
    """
    rows = []
    for stage, *words in stages():
        command = [sys.executable, "-m", f"stages.{stage}", *words]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        method = words[words.index("--method") + 1] if "--method" in words else ""
        rows.append((stage, method, time.perf_counter() - started, usage.ru_maxrss / 1024))
    return pd.DataFrame(rows, columns=["stage", "method", "seconds", "peak_mb"])


def main() -> None:
    """Run the command line."""
    argparse.ArgumentParser(prog="python -m benchmarks.gpt2_shape", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In its own process, which frees its memory at the end.
        with get_context("spawn").Pool(1) as pool:
            pool.apply(prepare, (Path(folder),))
        table = measure(Path(folder))
        print(table.to_string(index=False, float_format="%.1f"))
        print((Path(folder) / "results/language_model/table1.csv").read_text())


if __name__ == "__main__":
    main()
