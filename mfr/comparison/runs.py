"""All runs of one source, read from the files that earlier stages wrote."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from mfr.comparison.consistency import between_seeds, consistency
from mfr.comparison.summary import long_table, summarise
from mfr.config.source import SourceSection
from mfr.evaluation.records import Evaluation
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.saes.files import read_saes


@dataclass(frozen=True)
class Run:
    """One trained ensemble of a source, given by its method and seed."""

    source: str
    method: str
    seed: int

    def path(self, place: Callable[[str, str, int], Path]) -> Path:
        """Path of one of the run's files, such as `run.path(paths.curves)`."""
        return place(self.source, self.method, self.seed)

    def read(self) -> Ensemble:
        """Read its SAEs."""
        return read_saes(self.path(paths.saes), self.path(paths.saes_card))

    def evaluation(self) -> Evaluation:
        """Read its record from stage evaluate; `UserError` if it is of another run."""
        path = self.path(paths.evaluation)
        found = Evaluation.model_validate_json(path.read_text())
        if (found.source, found.method, found.seed) != (self.source, self.method, self.seed):
            whose = f"{found.source}/{found.method} seed {found.seed}"
            raise UserError(f"{path}: the evaluation of {whose}; run evaluate again")
        return found


@dataclass(frozen=True)
class Runs:
    """All runs of one source, and tables over them, each made on first use."""

    source: str
    section: SourceSection
    runs: list[Run]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Each run's record from stage evaluate, in the order of `runs`."""
        return [run.evaluation() for run in self.runs]

    @cached_property
    def values(self) -> pd.DataFrame:
        """The long table of `mfr.comparison.summary.long_table`: one row per value."""
        return long_table(self.evaluations)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Means over seeds and each method's change, from `mfr.comparison.summary.summarise`."""
        return summarise(self.values, self.section.compare.versus)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Learning curves of all runs: one row per run, logged step and SAE."""
        return self.labelled(paths.curves)

    @cached_property
    def latents(self) -> pd.DataFrame:
        """Statistics of the latents of all runs: one row per run and latent."""
        return self.labelled(paths.features)

    @cached_property
    def consistency(self) -> pd.DataFrame:
        """Similarity of SAEs within ensembles and between seeds, with a column `method`."""
        # Rows are in order of SAE and latent, so `view` gives (n, h).
        active = {
            key: torch.from_numpy(own.to_numpy() > 0) for key, own in self.latents.groupby(["method", "seed"])["frequency"]
        }
        tables = []
        for method in self.methods:
            ensembles = self._read(method)
            live = [active[method, seed].view(saes.b.shape) for seed, saes in ensembles.items()]
            tables.append(consistency(list(ensembles.values()), live).assign(method=method))
        table = pd.concat(tables, ignore_index=True)
        return table[["method", *table.columns.drop("method")]]

    @cached_property
    def between(self) -> pd.DataFrame:
        """Similarity of each latent to the latents of other seeds, with a column `method`."""
        tables = [between_seeds(self._read(method)).assign(method=method) for method in self.methods]
        return pd.concat(tables, ignore_index=True)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of `runs`."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def labelled(self, place: Callable[[str, str, int], Path]) -> pd.DataFrame:
        """The CSV table at `place` of every run, concatenated, with columns `method` and `seed`."""
        tables = [pd.read_csv(run.path(place)).assign(method=run.method, seed=run.seed) for run in self.runs]
        return pd.concat(tables, ignore_index=True)

    def _read(self, method: str) -> dict[int, Ensemble]:
        # One method at a time: the weights of all methods would not fit into memory.
        return {run.seed: run.read() for run in self.runs if run.method == method}
