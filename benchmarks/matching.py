"""Time one-to-one matching of two dictionaries as they grow, and how far its partners are from the best.

`random` are two independent random dictionaries, `trained` two SAEs after some steps on the same synthetic vectors. Each
measurement has a process of its own.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch.nn.functional import normalize, relu

from benchmarks.figures import highest_rss_kb
from benchmarks.first_steps import take_steps
from mfr.compute.devices import limit_threads
from mfr.compute.sparse import products
from mfr.config.synthetic import GenerateSynthetic
from mfr.config.training import Method, Penalty, Train
from mfr.saes.assignment import SLACK, Assignment, _assign, _bid, follow, solve
from mfr.saes.nearest import nearest
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from stages import generate_synthetic

SIZE = 768
HIDDEN = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
MAX_GAP = Penalty(matching="hungarian").max_gap
TRAINED_STEPS, STEPS_TO_FOLLOW = 200, 50
DRIFT = 0.05  # of random features, relative to their length
MOST_TRAINED, MOST_DENSE = 16384, 8192

Kind = Literal["random", "trained"]
Result = TypeVar("Result")


class Figures(BaseModel):
    """One size of dictionaries: seconds, memory beyond them in MB, and gaps of mean cosines.

    first_s is from nothing to partners, follow_s after the features have drifted. gap is the bound from all rows, true_gap how
    far the partners are below scipy's dense optimum, which takes dense_s. list_scipy_over_ours compares scipy's sparse solver
    with ours on the same list of candidates, with the best partners in both.
    """

    kind: Kind
    hidden: int
    first_s: float
    follow_s: float
    peak_mb: float
    gap: float
    follow_gap: float
    true_gap: float | None = None
    dense_s: float | None = None
    list_scipy_over_ours: float | None = None


def list_scipy_over_ours(found: Assignment, A: torch.Tensor, B: torch.Tensor) -> float:
    """Time of scipy's sparse solver ÷ that of ours, from scratch to the best partners on the same list of candidates."""
    starts, candidates = found.starts.numpy(), found.candidates.numpy()
    cosines = products(A, B, found.starts, found.candidates).double().numpy()
    costs = csr_array((2 - cosines, candidates, starts), shape=(len(A), len(B)))  # no cost may be zero
    best, scipy_s = timed(lambda: min_weight_full_bipartite_matching(costs))
    partners, price = np.arange(len(A)), np.zeros(len(B))

    def ours() -> None:
        _bid(starts, candidates, cosines, partners, price, SLACK)
        _assign(starts, candidates, cosines, partners, price)

    _, ours_s = timed(ours)
    np.testing.assert_allclose((2 - costs[np.arange(len(A)), partners]).mean(), (2 - costs[best]).mean(), atol=1e-9)
    return float(scipy_s / ours_s)


def measure(path: Path, kind: Kind, hidden: int, threads: int) -> Figures:
    """Match the dictionaries (2, 2, h, d) of a file, which are two before and the same two after a drift."""
    limit_threads(threads)
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    before, after = ((A, B) for A, B in torch.from_numpy(np.load(path)))
    solve([(before[0][:500], before[1][:500])], MAX_GAP)  # compiles
    memory = highest_rss_kb()
    (first,), first_s = timed(lambda: solve([before], MAX_GAP))
    (followed,), follow_s = timed(lambda: follow([first], [after], MAX_GAP))
    figures = Figures(
        kind=kind,
        hidden=hidden,
        first_s=first_s,
        follow_s=follow_s,
        peak_mb=(highest_rss_kb() - memory) / 1024,
        gap=bound(first, *before),
        follow_gap=bound(followed, *after),
    )
    if hidden <= MOST_DENSE:
        S = (before[0] @ before[1].T).numpy()
        best, figures.dense_s = timed(lambda: linear_sum_assignment(S, maximize=True))
        figures.true_gap = float(S[best].mean(dtype=np.float64) - S[np.arange(hidden), first.partners].mean(dtype=np.float64))
        figures.list_scipy_over_ours = list_scipy_over_ours(first, *before)
    return figures


def timed(run: Callable[[], Result]) -> tuple[Result, float]:
    """A call's result and its seconds."""
    started = time.perf_counter()
    return run(), time.perf_counter() - started


def bound(found: Assignment, A: torch.Tensor, B: torch.Tensor) -> float:
    """The gap from all rows."""
    net = torch.linalg.vecdot(A, B[found.partners]) - found.price[found.partners].float()
    return relu(nearest(A, B, 1, found.price).row_values[:, 0] - net).mean().item()


def dictionaries(path: Path, kind: Kind, hidden: int, threads: int) -> None:
    """Write the dictionaries that `measure` reads."""
    limit_threads(threads)
    if kind == "random":
        before = normalize(torch.randn(2, hidden, SIZE), dim=2)
        found = [before, normalize(before + DRIFT * normalize(torch.randn(2, hidden, SIZE), dim=2), dim=2)]
    else:
        settings = GenerateSynthetic(dimension=SIZE, features=2 * hidden, train_rows=None, heldout_rows=1)
        generate_synthetic.run(settings, path.with_suffix(".h5"), path.with_suffix(".heldout.h5"))
        train = Train(hidden=hidden, k=[32, 32], batch=500, steps=TRAINED_STEPS + STEPS_TO_FOLLOW, learning_rate=0.001)
        with Vectors(path.with_suffix(".h5")) as vectors:
            trainer, found = Trainer(vectors, train, Method(), 0, torch.device("cpu")), []
            batches = trainer.batches(0)
            for steps in (TRAINED_STEPS, STEPS_TO_FOLLOW):
                take_steps(trainer, islice(batches, steps))
                found.append(normalize(trainer.saes.W, dim=2))
    np.save(path, torch.stack(found).numpy())


def alone(run: Callable[..., Result], *arguments: object) -> Result:
    """A call's result, from a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(run, arguments)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching", description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN, help=f"sizes h (default: {HIDDEN})")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads that compute (default: all)")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dictionaries.npy"
        for kind in ("random", "trained"):
            for hidden in arguments.hidden:
                if kind == "random" or hidden <= MOST_TRAINED:
                    given = path, kind, hidden, arguments.threads
                    alone(dictionaries, *given)
                    rows.append(alone(measure, *given).model_dump())
                    print(pd.DataFrame(rows[-1:]).to_string(index=False, header=False), file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3g", na_rep=""))
    for kind, own in table.groupby("kind"):
        if len(own) > 1:
            slopes = [np.polyfit(np.log(own["hidden"][-3:]), np.log(own[name][-3:]), 1)[0] for name in ("first_s", "follow_s")]
            print(f"{kind}: at the largest sizes, time grows as h^{slopes[0]:.2f} (first) and h^{slopes[1]:.2f} (follow)")


if __name__ == "__main__":
    main()
