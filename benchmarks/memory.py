"""Peak memory of training two SAEs of 65,536 latents on vectors of size 2048: each phase of a run, in fresh processes."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel

from benchmarks.figures import highest_rss_kb, show
from benchmarks.first_steps import take_steps
from benchmarks.training_step import MFR
from mfr.compute.devices import resolve_device
from mfr.config.training import Method, Train
from mfr.mutual.matches import Match
from mfr.training.trainer import Saving, Trainer
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter

STEPS = 2


class Peaks(BaseModel):
    """Peak memory of each phase of a run in GB, the imported libraries included; mfr_* with MFR and random matches.

    checkpoint_gb is the size of the file.
    """

    hidden: int
    size: int
    k: int
    batch: int
    make_gb: float
    step_gb: float
    save_gb: float
    resume_gb: float
    resumed_step_gb: float
    mfr_step_gb: float
    mfr_save_gb: float
    checkpoint_gb: float


@contextmanager
def _peak(peaks: dict[str, float], phase: str) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    yield
    peaks[phase] = highest_rss_kb() / 1e6


def _train(vectors: Vectors, settings: Train, method: Method, saving: Saving, peaks: dict[str, float], prefix: str) -> None:
    with _peak(peaks, "make_gb"):
        trainer = Trainer(vectors, settings, method, 0, resolve_device("cpu"))
    with _peak(peaks, f"{prefix}step_gb"):
        if trainer.penalty:
            generator = torch.Generator().manual_seed(0)
            matched = (torch.arange(settings.hidden), torch.randperm(settings.hidden, generator=generator))
            trainer.penalty.set_matches([Match(*matched)])
            trainer.progress.step = 1  # no matching is due
        _steps(trainer)
    with _peak(peaks, f"{prefix}save_gb"):
        trainer.save(saving)


def _steps(trainer: Trainer) -> None:
    with closing(trainer.batches(0)) as batches:
        take_steps(trainer, islice(batches, STEPS))


def trained(path: Path, settings: Train, method: Method, saving: Saving, prefix: str) -> dict[str, float]:
    """Peaks of making a trainer, some steps, and a checkpoint."""
    peaks: dict[str, float] = {}
    with Vectors(path) as vectors:
        _train(vectors, settings, method, saving, peaks, prefix)
    return peaks


def resumed(path: Path, settings: Train, saving: Saving) -> dict[str, float]:
    """Peaks of resuming from the checkpoint, with all steps done, and of a step after it."""
    peaks: dict[str, float] = {}
    with Vectors(path) as vectors:
        with _peak(peaks, "resume_gb"):
            trainer = Trainer(vectors, settings, Method(), 0, resolve_device("cpu"))
            trainer.run(saving)
            assert trainer.progress.step == STEPS
        with _peak(peaks, "resumed_step_gb"):
            _steps(trainer)
    return peaks


def measure(hidden: int, size: int, k: int, batch: int) -> Peaks:
    """Peaks of all phases; each training is a process of its own."""
    settings = Train(hidden=hidden, k=[k, k], batch=batch, steps=STEPS, log_every=1_000_000, learning_rate=0.001)
    with tempfile.TemporaryDirectory() as folder:
        path, checkpoint = Path(folder) / "vectors.h5", Path(folder) / "checkpoint.safetensors"
        with VectorWriter(path, "synthetic", {"vectors": ((size,), "float16")}) as writer:
            writer.append(vectors=np.random.default_rng(0).standard_normal((2 * batch, size)).astype(np.float16))
        saving = Saving(checkpoint, "benchmark", every_s=1e9)
        peaks = _fresh(trained, path, settings, Method(), saving, "")
        peaks |= _fresh(resumed, path, settings, saving)
        peaks = _fresh(trained, path, settings, MFR, saving, "mfr_") | peaks
        written = checkpoint.stat().st_size / 1e9
    return Peaks(hidden=hidden, size=size, k=k, batch=batch, checkpoint_gb=written, **peaks)


def _fresh(function: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--hidden", type=int, default=65_536, help="latents of each of two SAEs (default: 65536)")
    parser.add_argument("--size", type=int, default=2048, help="size of a vector (default: 2048)")
    parser.add_argument("--k", type=int, default=64, help="active latents (default: 64)")
    parser.add_argument("--batch", type=int, default=512, help="rows of a batch (default: 512)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    show(measure(arguments.hidden, arguments.size, arguments.k, arguments.batch), arguments.json)


if __name__ == "__main__":
    main()
