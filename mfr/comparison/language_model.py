"""What only language models report: tables 1 and 2, claims, and the loss recovered."""

from pathlib import Path

from mfr.comparison.claims.language_model import claims
from mfr.comparison.figures import common
from mfr.comparison.report import Numbers
from mfr.comparison.runs import Runs
from mfr.comparison.summary import over_k
from mfr.comparison.tables import by_k, write_table


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
    """Cross-entropy in nats: intact, with the hook zeroed, and what each method adds."""
    model = runs.evaluations[0].own
    excess = {method: {"excess_ce": loss - model["intact"]} for method, loss in over_k(runs.summary, "cross_entropy").items()}
    return Numbers(excess, {"ce_intact": model["intact"], "ce_zeroed": model["zero"]})
