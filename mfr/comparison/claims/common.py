"""What all claims share: their table, and the choice of the paper's methods."""

from collections.abc import Iterable, Mapping

import pandas as pd

from mfr.comparison.intervals import Interval, Verdict
from mfr.config.training import Method

LATENT = ["seed", "sae", "latent"]

# The claim, the paper's value, ours with its interval, and the verdict.
Row = tuple[str, str, Interval, Verdict]


def claims_table(rows: Iterable[Row]) -> pd.DataFrame:
    """One row per claim: columns claim, paper, ours, low, high, n and verdict."""
    columns = ["claim", "paper", "ours", "low", "high", "n", "verdict"]
    return pd.DataFrame([(claim, paper, *interval, result) for claim, paper, interval, result in rows], columns=columns)


def methods_of_paper(methods: Mapping[str, Method]) -> dict[str, Method]:
    """The paper's methods: the baseline plus its penalty, its reinitialisation, or both.

    The penalty acts on all latents, matched by largest cosines or one to one, and its weight is fixed after the warm-up.
    """
    baseline = methods["baseline"]

    def of_paper(method: Method) -> bool:
        penalty = method.penalty
        usual = penalty is None or (
            penalty.matching in ("max", "hungarian") and penalty.latents == "all" and penalty.alpha != "relative"
        )
        rest = method.model_copy(update={"penalty": None, "reinitialise": None})
        return usual and bool(penalty or method.reinitialise) and rest == baseline

    return {name: method for name, method in methods.items() if of_paper(method)}
