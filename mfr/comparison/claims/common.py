"""What all claims share: verdicts by intervals over seeds, and the methods that the paper has."""

from collections.abc import Iterable, Mapping

import pandas as pd

from mfr.comparison.intervals import Interval, Verdict
from mfr.config.training import Method

Row = tuple[str, str, Interval, Verdict]


def claims_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Columns claim, paper, ours, low, high, n and verdict."""
    columns = ["claim", "paper", "ours", "low", "high", "n", "verdict"]
    return pd.DataFrame([(claim, paper, *interval, result) for claim, paper, interval, result in rows], columns=columns)


def methods_of_paper(methods: Mapping[str, Method]) -> dict[str, Method]:
    """The methods that the paper has: the baseline with its penalty, its reinitialisation, or both.

    The penalty pulls all latents to their largest cosines or one to one, at a weight that is fixed once the warm-up is over.
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


LATENT = ["seed", "sae", "latent"]
