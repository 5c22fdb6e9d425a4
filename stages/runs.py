"""The runs that compare gathers, and how it writes tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass
class Run:
    """One method and seed, by the files that its stages left."""

    method: str
    seed: int
    saes: Path
    card: Path
    evaluation: Path
    features: Path
    curves: Path


def write_table(table: pd.DataFrame, path: Path, digits: int = 6) -> None:
    """A CSV with so many significant digits."""
    table.to_csv(path, index=False, float_format=f"%.{digits}g")


def labelled(runs: list[Run], files: list[Path]) -> pd.DataFrame:
    """The tables of `files`, one a run, below each other, with its method and seed."""
    tables = [pd.read_csv(file).assign(method=run.method, seed=run.seed) for run, file in zip(runs, files, strict=True)]
    return pd.concat(tables, ignore_index=True)
