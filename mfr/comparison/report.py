"""What compare writes for every source, and how it finds what only one source reports.

A source may name a module that is `reported_by`. Its `write(runs, folder)` writes tables and figures to the results folder.
Its `numbers(runs)` returns the few numbers that the metrics file has beside each method's loss.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mfr.comparison.figures import common
from mfr.comparison.runs import Runs
from mfr.comparison.summary import contests, mean_curves, over_k
from mfr.comparison.tables import write_table
from mfr.config.training import Method
from mfr.runtime.provenance import provenance
from mfr.sources.source import source


@dataclass(frozen=True)
class Numbers:
    """Numbers for a metrics file: of each method, and of the source itself."""

    of_methods: dict[str, dict[str, float]]
    of_source: Mapping[str, float] = field(default_factory=dict)


class Own(Protocol):
    """What a module with one source's own results provides."""

    def write(self, runs: Runs, folder: Path) -> None:
        """Write the source's own tables and figures to its results folder."""

    def numbers(self, runs: Runs) -> Numbers:
        """Numbers for the metrics file, by method or of the source itself."""


def own(name: str) -> Own | None:
    """The module with this source's own results, or None if it has none."""
    module = source(name).reported_by
    return cast(Own, import_module(module)) if module else None


def write_results(runs: Runs, folder: Path) -> None:
    """Write all tables and figures of one source, and `origin.json`, to its results folder."""
    write_table(runs.summary, folder / "summary.csv")
    write_table(runs.values, folder / "values.csv")
    write_table(contests(runs.values, rivals(runs.section.methods)), folder / "contests.csv")
    write_table(runs.consistency, folder / "consistency.csv")
    write_table(mean_curves(runs.curves), folder / "learning_curves.csv")
    common.learning_curves(runs.curves).savefig(folder / "learning_curves.png")
    common.bars(runs.summary, "mse", "mean squared error (held out)").savefig(folder / "reconstruction.png")
    common.densities(runs.latents).savefig(folder / "density.png")
    if found := own(runs.source):
        found.write(runs, folder)
    origin = asdict(provenance()) | {"seeds": sorted({run.seed for run in runs.runs}), "section": runs.section.model_dump()}
    (folder / "origin.json").write_text(json.dumps(origin, indent=2, allow_nan=False) + "\n")


def headline(runs: Runs) -> dict[str, object]:
    """About ten numbers for the metrics file, under the source's name.

    They are each method's loss, a mean over k and seeds, and what the source adds.
    """
    found = own(runs.source)
    added = found.numbers(runs) if found else Numbers({})
    losses = over_k(runs.summary, "mse")
    of_methods = {method: {"mse": loss, **added.of_methods.get(method, {})} for method, loss in losses.items()}
    return {runs.source: _rounded({**added.of_source, **of_methods})}


def _rounded(value: object) -> object:
    """The same numbers to four significant digits; None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value


def rivals(methods: Mapping[str, Method]) -> list[str]:
    """Names of the methods that the paper's methods and transplants have to beat.

    They are the baseline, AuxK, and variants of these, such as more steps or another learning rate. Methods that train on noisy
    vectors (`noise_db`) are no rivals.
    """
    return [
        name
        for name, method in methods.items()
        if not (method.penalty or method.reinitialise or method.transplant) and method.noise_db is None
    ]
