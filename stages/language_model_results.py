"""What compare writes of language models alone: tables 1 and 2, the claims, and the loss recovered."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mfr import figures
from mfr.claims_language_model import claims_language_model
from mfr.params import SourceSection
from mfr.tables import by_k
from stages.runs import write_table

NAMES = ("table1.csv", "table2.csv", "claims.csv", "loss_recovered.png")


def write(parts: Mapping[str, Path], table: pd.DataFrame, summary: pd.DataFrame, section: SourceSection) -> None:
    """Write `parts`, a path for each of `NAMES`, from the long table and the summary of `mfr.comparison`."""
    write_table(by_k(summary, "mse"), parts["table1.csv"], digits=4)
    write_table(by_k(summary, "cross_entropy"), parts["table2.csv"], digits=5)
    write_table(claims_language_model(table, section.methods, section.compare.versus), parts["claims.csv"])
    # All but 1 for any fair SAE: only what is missing tells them apart.
    missing = summary.assign(mean=1 - summary["mean"])
    figures.bars(missing, "loss_recovered", "loss not recovered (1 − loss recovered)").savefig(parts["loss_recovered.png"])
