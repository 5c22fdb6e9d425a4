"""What `benchmarks.gpu` measures: a function per section, which yields its figures one by one.

All of them also run on a CPU, at small sizes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from xml.etree import ElementTree

import torch
import yaml

from benchmarks.figures import highest_rss_kb, seconds
from benchmarks.first_steps import take_steps
from benchmarks.gpu_figures import Activations, EndToEnd, MatchingFigures, Outcome, Sizes, StepFigures
from benchmarks.training_step import MFR, dense, stored
from mfr.compute.devices import allow_tf32, limit_threads, resolve_device
from mfr.config.experiment import Execution
from mfr.config.language_model import DumpActivations, Text
from mfr.config.synthetic import GenerateSynthetic
from mfr.config.training import Method, Penalty, Precision, Train
from mfr.mutual.matches import Match, match
from mfr.training import feed
from mfr.training.curves import EARLY_STEPS
from mfr.training.inputs import raw
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from stages import generate_synthetic
from stages import train as stage

ROOT = Path(__file__).parents[1]
TESTED = ("tests/saes", "tests/mutual", "tests/training")  # the folders of all tests with the marker `cuda`
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
BLOCK_S = 1.0  # at most, of calls that are timed in a row
LOG_EVERY = 1000
MAX_GAP = Penalty(matching="hungarian").max_gap
CORES = len(os.sched_getaffinity(0))


def tests(_: Sizes) -> Iterator[Outcome]:
    """Run the tests that need a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", "--junit-xml", str(report), *TESTED]
        subprocess.run([sys.executable, *words], cwd=ROOT)
        for case in ElementTree.parse(report).iter("testcase"):
            found = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
            yield Outcome(
                name=f"{case.get('classname')}::{case.get('name')}",
                outcome="passed" if found is None else "skipped" if found.tag == "skipped" else "failed",
                seconds=float(case.get("time", 0)),
                message="" if found is None else found.get("message", "")[:500],
            )


def steps(sizes: Sizes, name: str) -> Iterator[StepFigures]:
    """Time the training step of one shape in each precision."""
    limit_threads(CORES)
    shape, device = sizes.shapes[name], resolve_device("auto")
    match(torch.randn(2, 64, 8, device=device), "hungarian", MAX_GAP)  # compiles
    with tempfile.TemporaryDirectory() as folder, Vectors(stored(shape, Path(folder), batches=4)) as vectors:
        for precision in PRECISIONS:
            allow_tf32(precision == "tf32")
            train = shape.train.model_copy(update={"precision": precision, "log_every": LOG_EVERY})
            yield _step_figures(name, vectors, train, sizes, device)


def _step_figures(name: str, vectors: Vectors, train: Train, sizes: Sizes, device: torch.device) -> StepFigures:
    matching = "max" if name == "XL" else "hungarian"  # one to one takes too long there; see `matchings`
    assert MFR.penalty
    settings = MFR.penalty.model_copy(update={"matching": matching, "refresh": sizes.refresh})
    mfr = Trainer(vectors, train, Method(penalty=settings), 0, device)
    with closing(mfr.batches(0)) as batches:
        again = cycle([next(batches) for _ in range(4)])
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first_s, pull_s, matching_s, mfr_s = _with_mfr(mfr, again, sizes)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else highest_rss_kb() / 1024
    del mfr
    trainer = Trainer(vectors, train, Method(), 0, device)
    trainer.progress.step = EARLY_STEPS
    step_s = _each(lambda: trainer.step(next(again)), sizes.refresh, sizes.rounds, device)
    gemm_s = _each(_gemm(trainer, train.precision, next(again)), sizes.refresh, sizes.rounds, device)
    dense_s, dense_error = None, None
    try:
        dense_s = _each(dense(train, trainer, next(again)), sizes.refresh, sizes.rounds, device)
    except torch.OutOfMemoryError as error:
        dense_error = str(error).partition("\n")[0]
    return StepFigures(
        shape=name,
        precision=train.precision,
        matching=matching,
        gemm_ms=1000 * gemm_s,
        step_ms=1000 * step_s,
        pull_ms=1000 * pull_s,
        mfr_ms=1000 * mfr_s,
        dense_ms=None if dense_s is None else 1000 * dense_s,
        dense_error=dense_error,
        first_matching_ms=1000 * first_s,
        matching_ms=1000 * matching_s,
        peak_memory_mb=peak,
        step_over_gemm=step_s / gemm_s,
        dense_over_step=None if dense_s is None else dense_s / step_s,
        mfr_over_step=mfr_s / step_s,
        pull_over_step=pull_s / step_s,
    )


def _with_mfr(mfr: Trainer, again: Iterator[torch.Tensor], sizes: Sizes) -> tuple[float, float, float, float]:
    """Seconds of the first matching, a step between two matchings, a later matching, and a step on average of a period."""
    penalty, device = mfr.penalty, mfr.device
    assert penalty
    first_s = seconds(penalty.find_partners, device)
    due = -(-EARLY_STEPS // sizes.refresh) * sizes.refresh  # a step after those that the learning curves log more often
    between, matched, count = [], [], 3
    for _ in range(sizes.rounds + 1):
        mfr.progress.step = due
        matched.append(seconds(lambda: mfr.step(next(again)), device))
        between.append(seconds(partial(take_steps, mfr, islice(again, count)), device) / count)
        count = _count(between[-1], sizes.refresh - 1)
    # The first round warms up.
    pull_s, matching_step_s = median(between[1:]), mean(matched[1:])
    whole = (pull_s * (sizes.refresh - 1) + matching_step_s) / sizes.refresh
    return first_s, pull_s, max(matching_step_s - pull_s, 0.0), whole


def _count(one_s: float, most: int) -> int:
    """How many calls in a row to time, if one takes `one_s` seconds."""
    return max(1, min(most, int(BLOCK_S / one_s)))


def _each(run: Callable[[], object], most: int, rounds: int, device: torch.device) -> float:
    """Seconds of one call among `most` in a row or fewer, without waiting in between: the median over rounds."""
    run()
    count = _count(seconds(run, device), most)
    return median(seconds(lambda: [run() for _ in range(count)], device) / count for _ in range(rounds))


def _gemm(trainer: Trainer, precision: Precision, x: torch.Tensor) -> Callable[[], object]:
    """The product x Wᵀ + b of all encoders; in bfloat16, of factors that are rounded already."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    W, b = trainer.saes.W.flatten(0, 1).to(dtype), trainer.saes.b.flatten().to(dtype)
    x, out = x.to(dtype), torch.empty(len(x), len(W), dtype=dtype, device=x.device)
    return lambda: torch.addmm(b, x, W.T, out=out)


def matchings(sizes: Sizes) -> Iterator[MatchingFigures]:
    """Match two large SAEs one to one: at first, and again after a little drift."""
    limit_threads(CORES)
    device = resolve_device("auto")
    for hidden in (64, *sizes.matched):  # the first one compiles
        yield _matching_figures(torch.randn(2, hidden, sizes.matched_size, device=device))


def _matching_figures(W: torch.Tensor) -> MatchingFigures:
    found: list[Match] = []
    first_s = seconds(lambda: found.extend(match(W, "hungarian", MAX_GAP)), W.device)
    drifted = W + 0.05 * torch.randn_like(W)
    next_s = seconds(lambda: match(drifted, "hungarian", MAX_GAP, found), W.device)
    return MatchingFigures(hidden=W.shape[1], size=W.shape[2], first_s=first_s, next_s=next_s)


def end_to_end(sizes: Sizes, refresh: int) -> Iterator[EndToEnd]:
    """Train on drawn vectors by the settings of params/paper.yaml, but with `refresh` steps between two matchings.

    The learning curves do not compare the features with the true ones on the way.
    """
    limit_threads(CORES)
    whole, paper = (yaml.safe_load((ROOT / f"params/{name}.yaml").read_text())["synthetic"] for name in ("default", "paper"))
    chosen = (
        whole["train"] | paper["train"] | {"batch": sizes.batch, "steps": sizes.vectors // sizes.batch, "measure_every": None}
    )
    settings, method = Train.model_validate(chosen), Method.model_validate(paper["methods"]["mfr"])
    assert method.penalty
    method = method.model_copy(update={"penalty": method.penalty.model_copy(update={"refresh": refresh})})
    generated = whole["generate_synthetic"] | paper["generate_synthetic"] | {"heldout_rows": 1}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "train.h5"
        generate_synthetic.run(GenerateSynthetic.model_validate(generated), data, Path(name) / "heldout.h5")
        _trained(data, settings.model_copy(update={"steps": 5}), method)  # compiles, and loads the GPU's libraries
        trained_s, mse = _trained(data, settings, method)
        drawn_s = _drawn_s(data, settings)
    vectors = settings.steps * settings.batch
    yield EndToEnd(
        vectors=vectors,
        batch=settings.batch,
        refresh=refresh,
        seconds=trained_s,
        vectors_per_s=vectors / trained_s,
        drawn_per_s=settings.batch / drawn_s,
        mse=mse,
    )


def _trained(data: Path, settings: Train, method: Method) -> tuple[float, float]:
    """Seconds of the stage train, and the mean squared error of its last step."""
    names = ("saes.safetensors", "saes.json", "curves.csv", "checkpoint.safetensors")
    outputs = stage.Outputs(*(data.with_name(name) for name in names))
    execution = Execution(threads=CORES, progress_s=5, checkpoint_s=300)
    started = time.perf_counter()
    curves = stage.run(data, settings, method, 0, outputs, execution)
    return time.perf_counter() - started, mean(row.mse for row in curves if row.step == settings.steps)


def _drawn_s(data: Path, settings: Train) -> float:
    """Seconds per batch that arrives on the device, if nothing else happens."""
    device, count = resolve_device("auto"), min(settings.steps, 300)
    with Vectors(data) as vectors, closing(feed.batches(vectors, settings, raw(vectors.size), 1, 0, device)) as batches:
        next(batches)
        return seconds(lambda: [next(batches) for _ in range(count)], device) / count


def activations(sizes: Sizes) -> Iterator[Activations]:
    """Dump the activations of a GPT-2 with random weights."""
    # The other sections need none of the packages that these modules import.
    from transformers import GPT2Config

    from benchmarks import dump

    model = sizes.model
    config = GPT2Config(
        n_layer=model.layers,
        n_embd=model.width,
        n_head=model.heads,
        n_positions=model.context,
        vocab_size=model.vocabulary,
    )
    context = min(128, model.context)
    settings = DumpActivations(context=context, train_tokens=sizes.tokens, heldout_tokens=context - 1)
    execution = Execution(threads=CORES)
    limit_threads(CORES)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        text = dump.prepare(config, execution, Text(packages=["scipy", "numpy", "pandas"]), sizes.documents)
        found = dump.rates(text, settings, sizes.rounds + 1, execution)
    yield Activations(tokens=found.tokens, dump_per_s=float(found.dump[0]), hook_per_s=float(found.hook[0]))
