"""What only language models report: tables 1 and 2, claims, and the loss recovered."""

from pathlib import Path

import pandas as pd

from mfr.comparison.claims.language_model import claims
from mfr.comparison.figures import common
from mfr.comparison.report import Numbers
from mfr.comparison.runs import Runs
from mfr.comparison.summary import over_k
from mfr.comparison.tables import by_k, write_table
from mfr.runtime import paths
from mfr.runtime.errors import UserError

SAME = 1e-3  # relative difference between devices and precisions


def write(runs: Runs, folder: Path) -> None:
    """Write tables 1 and 2 of the paper, claims, and the figure of the loss recovered."""
    summary = runs.summary
    write_table(by_k(summary, "mse"), folder / "table1.csv", digits=4)
    write_table(by_k(summary, "cross_entropy"), folder / "table2.csv", digits=5)
    found = claims(runs.values, runs.section.methods, runs.section.compare.versus)
    write_table(found, folder / "claims.csv")
    # The loss recovered is nearly 1 for any decent SAE, so the figure shows what is missing.
    missing = summary.assign(mean=1 - summary["mean"])
    label = "loss not recovered (1 − loss recovered)"
    common.bars(missing, "loss_recovered", label).savefig(folder / "loss_recovered.png")


def numbers(runs: Runs) -> Numbers:
    """Cross-entropy in nats: intact, with the hook zeroed, and what each method adds to that of its own runs.

    Raises `UserError` if the runs were not evaluated with the same model and text.
    """
    own = pd.DataFrame([evaluation.own | {"method": evaluation.method} for evaluation in runs.evaluations])
    for name in ("intact", "zero"):
        _check_same(runs, own[name])
    intact, added = own.groupby("method")["intact"].mean(), over_k(runs.summary, "cross_entropy")
    excess = {method: {"excess_ce": loss - float(intact[method])} for method, loss in added.items()}
    return Numbers(excess, {"ce_intact": float(own["intact"].mean()), "ce_zeroed": float(own["zero"].mean())})


def _check_same(runs: Runs, losses: pd.Series) -> None:
    """Raise `UserError` if the losses, one per run, differ by more than rounding."""
    lowest, highest = losses.idxmin(), losses.idxmax()
    if losses[highest] - losses[lowest] > SAME * losses[highest]:
        one, other = (runs.runs[i].path(paths.evaluation) for i in (lowest, highest))
        raise UserError(
            f"{one}: the model's cross-entropy is {losses[lowest]:.4g}, but {losses[highest]:.4g} in {other}; the runs were "
            "evaluated with different models or texts: run the pipeline again"
        )
