"""Time a training step against its encoder's matrix product, plain autograd and SAELens.

Each round times some steps of each on the same batches. `benchmarks.first_steps` times training with MFR. The shapes are the
paper's: S synthetic vectors, G GPT-2 Small's first MLP, E EEG with two of its five SAEs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, cycle, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel

from benchmarks.figures import highest_rss_kb, seconds, show
from benchmarks.first_steps import HELDOUT_STEPS, STEPS, evaluation_s, take_steps, time_first_steps
from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.synthetic import GenerateSynthetic
from mfr.config.training import Method, Penalty, Train
from mfr.training.trainer import Saving, Trainer
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from stages import generate_synthetic

SAELENS = Path(".venv-saelens/bin/python")
PENALTY = Penalty(matching="hungarian", alpha="balanced", alpha_factor=0.1, warmup=100, refresh=50)
MFR = Method(penalty=PENALTY)
STEPS_A_ROUND = 16  # the batches of two of the reader's pools
MEMORY_STEPS = 60
STORED_BATCHES = 40


class Shape(BaseModel):
    """One of the paper's trainings: d, settings, and whether vectors are drawn as they are used.

    Vectors that are not drawn are read from a file.
    """

    size: int
    train: Train
    drawn: bool


def _train(hidden: int, k: list[int], batch: int, rate: float) -> Train:
    return Train(hidden=hidden, k=k, batch=batch, steps=1_000_000, learning_rate=rate)


SHAPES = {
    "S": Shape(size=256, train=_train(512, [36, 36], 10_000, 0.01), drawn=True),
    "G": Shape(size=768, train=_train(3072, [6, 12, 18, 24, 30], 500, 0.001), drawn=False),
    "E": Shape(size=4096, train=_train(4096, [12, 60], 1024, 0.001), drawn=False),
}


class Figures(BaseModel):
    """Ratios of times for one shape, and milliseconds per step (*_ms).

    mfr_over_baseline, evaluate_over_300_steps and data_share are ratios of means, the others of medians. The first two are over
    300 steps from the first one; first_matching_s is spent once per run, and is not in them. data_share is the share of a step
    that reading takes. peak_rss_mb is the memory of training with MFR beyond the imported libraries, including a checkpoint.
    """

    shape: str
    device: str
    threads: int
    rounds: int
    baseline_over_gemm: float
    mfr_over_baseline: float
    evaluate_over_300_steps: float
    dense_over_baseline: float
    saelens_over_baseline: float | None
    data_share: float
    peak_rss_mb: float
    gemm_ms: float
    baseline_ms: float
    dense_ms: float
    saelens_ms: float | None
    first_matching_s: float


def measure(name: str, rounds: int, threads: int) -> Figures:
    """Time one shape."""
    shape, device = SHAPES[name], resolve_device("auto")
    limit_threads(threads)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        vectors = stack.enter_context(Vectors(stored(shape, Path(folder))))
        peak = get_context("spawn").Pool(1).apply(peak_rss_mb, (shape, vectors.path, threads))
        baseline, mfr = (Trainer(vectors, shape.train, method, 0, device) for method in (Method(), MFR))
        batches = stack.enter_context(closing(baseline.batches(0)))
        print(f"shape {name}: the first steps", file=sys.stderr, flush=True)
        first = time_first_steps(baseline, mfr, batches)
        heldout = Path(folder) / "heldout.h5" if shape.drawn else vectors.path
        evaluation = evaluation_s(baseline, heldout, threads)
        again = cycle([next(batches) for _ in range(STEPS_A_ROUND)])
        np.save(Path(folder) / "batch.npy", next(again).cpu().numpy())
        steps: dict[str, tuple[int, Callable[[], object]]] = {
            "gemm": (3, _gemm(shape, baseline, next(again))),
            "baseline": (STEPS_A_ROUND, lambda: baseline.step(next(again))),
            "fed": (STEPS_A_ROUND, lambda: baseline.step(next(batches))),
            "dense": (2, dense(shape.train, baseline, next(again))),
        }
        if SAELENS.exists():
            steps["saelens"] = (1, stack.enter_context(_saelens(shape, Path(folder) / "batch.npy", threads)))
        for _, run in steps.values():
            run()
        times: dict[str, list[float]] = {step: [] for step in steps}
        for round_ in range(rounds):
            for step, (count, run) in steps.items():
                times[step] += [seconds(run, device) for _ in range(count)]
            print(f"shape {name}: round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
    median = {step: 1000 * float(np.median(seconds)) for step, seconds in times.items()}
    mean = {step: float(np.mean(seconds)) for step, seconds in times.items()}
    return Figures(
        shape=name,
        device=str(device),
        threads=threads,
        rounds=rounds,
        baseline_over_gemm=median["baseline"] / median["gemm"],
        mfr_over_baseline=first.mfr_s / first.baseline_s,
        evaluate_over_300_steps=evaluation / (STEPS * mean["baseline"]),
        dense_over_baseline=median["dense"] / median["baseline"],
        saelens_over_baseline=median["saelens"] / median["baseline"] if "saelens" in median else None,
        data_share=1 - mean["baseline"] / mean["fed"],
        peak_rss_mb=peak,
        gemm_ms=median["gemm"],
        baseline_ms=median["baseline"],
        dense_ms=median["dense"],
        saelens_ms=median.get("saelens"),
        first_matching_s=first.first_matching_s,
    )


def stored(shape: Shape, folder: Path, batches: int = STORED_BATCHES) -> Path:
    """A file of vectors with two known features per latent, or 8192: drawn as they are used, or some batches on disk."""
    features, heldout = min(2 * shape.train.hidden, 8192), HELDOUT_STEPS * shape.train.batch if shape.drawn else 1
    settings = GenerateSynthetic(dimension=shape.size, features=features, train_rows=None, heldout_rows=heldout)
    drawn, written = folder / "drawn.h5", folder / "stored.h5"
    generate_synthetic.run(settings, drawn, folder / "heldout.h5")
    if shape.drawn:
        return drawn
    with Vectors(drawn) as vectors, VectorWriter(written, "synthetic", {"vectors": ((shape.size,), "float16")}) as writer:
        for rows in islice(vectors.batches(shape.train.batch, 0), batches):
            writer.append(vectors=rows.numpy().astype(np.float16))
    return written


def _gemm(shape: Shape, trainer: Trainer, x: torch.Tensor) -> Callable[[], object]:
    out = torch.empty(len(x), shape.train.hidden, device=x.device)
    return lambda: [torch.addmm(own.b, x, own.W.T, out=out) for own in trainer.members]


def dense(train: Train, trainer: Trainer, x: torch.Tensor) -> Callable[[], object]:
    """A step of the same SAEs with a dense latent matrix, autograd and fused AdamW; in bfloat16, of all products."""
    saes = [[torch.nn.Parameter(tensor.clone()) for tensor in (own.W, own.b)] for own in trainer.members]
    optimizer = torch.optim.AdamW(chain.from_iterable(saes), lr=train.learning_rate, fused=True)
    rounded = torch.autocast(x.device.type, torch.bfloat16, enabled=train.precision == "bfloat16")

    def step() -> None:
        optimizer.zero_grad()
        for (W, b), k in zip(saes, train.k, strict=True):
            with rounded:
                pre = x @ W.T + b
                top = pre.topk(k, dim=1, sorted=False)
                z = torch.zeros_like(pre).scatter(1, top.indices, top.values)
                x_hat = z @ torch.nn.functional.normalize(W, dim=1)
            (x_hat - x).square().mean().backward()
        optimizer.step()

    return step


@contextmanager
def _saelens(shape: Shape, batch: Path, threads: int) -> Iterator[Callable[[], object]]:
    command = [str(SAELENS), "-m", "benchmarks.saelens_step", "--vectors", str(batch), "--hidden", str(shape.train.hidden)]
    command += ["--threads", str(threads), "--k", *map(str, shape.train.k)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asking, answers = process.stdin, process.stdout
        assert asking and answers

        def step() -> None:
            print("step", file=asking, flush=True)
            answers.readline()

        yield step
        asking.close()


def peak_rss_mb(shape: Shape, path: Path, threads: int) -> float:
    """Peak memory of training with MFR beyond the libraries, in MB; needs a fresh process."""
    limit_threads(threads)
    before = highest_rss_kb()
    with Vectors(path) as vectors:
        trainer = Trainer(vectors, shape.train, MFR, 0, resolve_device("auto"))
        with closing(trainer.batches(0)) as batches:
            take_steps(trainer, islice(batches, MEMORY_STEPS))
        trainer.save(Saving(path.with_name("checkpoint.safetensors"), "benchmark", every_s=0))
    return (highest_rss_kb() - before) / 1024


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, required=True, help="one of the paper's trainings")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to average over (default: 5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads that compute (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    figures = measure(arguments.shape, arguments.rounds, arguments.threads)
    show(figures, arguments.json)


if __name__ == "__main__":
    main()
