import pandas as pd
import pytest

from mfr.comparison.claims.language_model import claims
from mfr.config.training import AuxK, Method, Penalty

PENALTY = Penalty(matching="hungarian")


def test_claims_follow_from_the_changes_of_each_seed() -> None:
    factors = {"baseline": (1.0, 1.0), "mfr": (0.8, 1.1), "auxk": (0.5, 0.5), "other": (0.4, 1.1)}  # at k = 6 and at k = 12
    rows = [
        (method, seed, f"k{k}", metric, scale * factor * (1 + 0.01 * seed * (method == "mfr")))
        for metric, scale in (("mse", 2.0), ("cross_entropy", 5.0))
        for method, both in factors.items()
        for seed in range(3)
        for k, factor in zip((6, 12), both)
    ]
    values = pd.DataFrame(rows, columns=["method", "seed", "group", "metric", "value"])
    methods = {"baseline": Method(), "mfr": Method(penalty=PENALTY), "auxk": Method(auxk=AuxK(k="same"))}
    methods["other"] = Method(penalty=PENALTY)
    table = claims(values, methods, versus={"other": "auxk"}).set_index("claim")
    assert len(table) == 12 and {claim.split(":")[0] for claim in table.index} == {"mfr", "other"}
    other = table.loc["other: reconstruction loss lower than auxk's, smallest k = 6"]
    assert other["ours"] == pytest.approx(-20) and other["verdict"] == "holds"
    loss, cross_entropy = (
        "mfr: reconstruction loss {} than baseline's, {}",
        "mfr: cross-entropy with the SAE lower than baseline's, {}",
    )
    expected = {
        loss.format("lower", "mean over k"): (-4.05, "-5.66 %", "holds"),
        loss.format("lower", "smallest k = 6"): (-19.2, "-21.21 %", "holds"),
        loss.format("higher", "largest k = 12"): (11.1, "+7.89 %", "holds"),
        cross_entropy.format("mean over k"): (-4.05, "-5.45 %", "holds"),
        cross_entropy.format("k = 6"): (-19.2, "-8.58 to -3.51 %", "holds"),
        cross_entropy.format("k = 12"): (11.1, "-8.58 to -3.51 %", "fails"),
    }
    for claim, (ours, paper, result) in expected.items():
        assert table.loc[claim, "ours"] == pytest.approx(ours)
        assert (table.loc[claim, "paper"], table.loc[claim, "verdict"]) == (paper, result)
    assert table.loc[loss.format("lower", "smallest k = 6"), "n"] == 3
