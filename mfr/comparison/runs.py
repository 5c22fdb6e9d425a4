"""All runs of one source, read from the files that earlier stages wrote."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from mfr.comparison.consistency import between_seeds, consistency
from mfr.comparison.summary import long_table, summarise
from mfr.config.source import SourceSection
from mfr.evaluation.files import read_evaluation, read_latents
from mfr.evaluation.records import Evaluation
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.records import check
from mfr.saes.ensemble import Card, Ensemble
from mfr.saes.files import read_card, read_saes
from mfr.saes.identity import check_measured


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

    def card(self) -> Card:
        """Read the card of its SAEs."""
        return read_card(self.path(paths.saes_card))

    def check_measured(self, saes_sha256: str, path: Path, stage: str) -> None:
        """Raise `UserError` if the file at `path`, which `stage` wrote, is of other SAEs than the run's."""
        check_measured(path, saes_sha256, self.path(paths.saes_card), stage)

    def evaluation(self) -> Evaluation:
        """Read its record from stage evaluate; `UserError` if it is of another run."""
        return read_evaluation(self.source, self.method, self.seed)

    def latents(self) -> pd.DataFrame:
        """Read its table from stage evaluate, one row per latent."""
        return read_latents(self.source, self.method, self.seed)

    def curves(self) -> pd.DataFrame:
        """Read its learning curves."""
        path = self.path(paths.curves)
        check(path, self.card().curves_sha256, self.path(paths.saes_card), "train")
        return pd.read_csv(path)


@dataclass(frozen=True)
class Runs:
    """All runs of one source, and tables over them, each made on first use."""

    source: str
    section: SourceSection
    runs: list[Run]
    _made: dict[Callable[["Runs"], pd.DataFrame], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    def once(self, make: Callable[["Runs"], pd.DataFrame]) -> pd.DataFrame:
        """The table `make(self)`, made on first use, for tables that only one source has."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Each run's record from stage evaluate, in the order of `runs`; `UserError` if they are not comparable."""
        found = [run.evaluation() for run in self.runs]
        for run, evaluation in zip(self.runs, found, strict=True):
            if evaluation.heldout_sha256 != found[0].heldout_sha256:
                first, other = (each.path(paths.evaluation) for each in (self.runs[0], run))
                raise UserError(f"{other}: of other held-out vectors than {first}; run evaluate again")
        return found

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
        return self.labelled(Run.curves)

    @cached_property
    def latents(self) -> pd.DataFrame:
        """Statistics of the latents of all runs: one row per run and latent."""
        return self.labelled(Run.latents)

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

    def labelled(self, read: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        """The table that `read` gives of every run, concatenated, with columns `method` and `seed`."""
        tables = [read(run).assign(method=run.method, seed=run.seed) for run in self.runs]
        return pd.concat(tables, ignore_index=True)

    def _read(self, method: str) -> dict[int, Ensemble]:
        # One method at a time: the weights of all methods would not fit into memory.
        return {run.seed: run.read() for run in self.runs if run.method == method}
