"""Run every stage of params.yaml in one process that is left alone: `python -m tests.support.left_alone`.

Writes seconds.json: the processor time of each stage's work, by stage and source.
"""

import json
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from mfr.config.experiment import Params
from mfr.config.load import load
from mfr.sources.source import source

SECONDS = Path("seconds.json")
OF_VECTORS = ("generate_synthetic", "prepare_model", "dump_activations", "prepare_recordings", "preprocess_eeg")


def commands(params: Params) -> Iterator[tuple[str, str, list[str]]]:
    """Stage, source if several have it, and words of each command, in an order in which they can run."""
    for stage in OF_VECTORS:
        yield stage, "", []
    for name in params.sources:
        for method in params.source(name).methods:
            run = ["--method", method, "--seed", str(params.seeds[0])]
            for stage in ("train", "evaluate", *["export"] * source(name).exported):
                yield stage, name, ["--source", name, *run]
            for _ in source(name).files_of_run(method, 0):
                yield "denoise", "", run
        for stage in ("describe", "compare"):
            yield stage, name, ["--source", name]


def main() -> None:
    """Run all commands, and write how long each stage worked."""
    seconds: dict[str, float] = {}
    for stage, name, words in commands(load(Path("params.yaml"))):
        module = import_module(f"stages.{stage}")
        started = time.process_time()
        assert module.main(words) == 0, (stage, words)
        seconds[f"{stage} {name}".strip()] = time.process_time() - started
    SECONDS.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
