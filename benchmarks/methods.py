"""Time whole trainings of each method of a source, side by side, fifty steps of each in turn.

`steps` is the number of steps that the baseline takes in a method's time. For a comparison at equal time, give a method that
trains like the baseline this number of steps.
"""

import argparse
import sys
import time
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import pandas as pd

from benchmarks.first_steps import take_steps
from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import SOURCES, Params
from mfr.config.load import load
from mfr.runtime import paths
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors

STEPS_A_TURN = 50


def measure(params: Params, source: str) -> pd.DataFrame:
    """One row per method: columns method, seconds, time_ratio and steps.

    Skips methods with their own number of steps.
    """
    limit_threads(params.execution.threads)
    device, section = resolve_device(params.execution.device), params.source(source)
    methods = {name: method for name, method in section.methods.items() if method.steps is None}
    steps, seconds = section.train.steps, dict.fromkeys(methods, 0.0)
    with ExitStack() as stack:
        vectors = stack.enter_context(Vectors(paths.vectors(source, "train")))
        trainers = {name: Trainer(vectors, section.train, method, params.seeds[0], device) for name, method in methods.items()}
        batches = {name: stack.enter_context(closing(trainer.batches(0))) for name, trainer in trainers.items()}
        for done in range(0, steps, STEPS_A_TURN):
            for name, trainer in trainers.items():
                started = time.perf_counter()
                take_steps(trainer, islice(batches[name], min(STEPS_A_TURN, steps - done)))
                seconds[name] += time.perf_counter() - started
            print(f"step {done} of {steps}", file=sys.stderr, flush=True)
    table = pd.DataFrame({"method": seconds.keys(), "seconds": seconds.values()})
    table["time_ratio"] = table["seconds"] / seconds["baseline"]
    table["steps"] = (table["time_ratio"] * steps).round().astype(int)
    return table


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--source", choices=SOURCES, required=True, help="section of params.yaml; its vectors must exist")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    arguments = parser.parse_args(argv)
    print(measure(load(arguments.params), arguments.source).to_string(index=False, float_format="%.2f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
