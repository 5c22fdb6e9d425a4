"""Draw how the gain of a penalty depends on its weight and the learning rate: `python -m workflow.map`.

Run it after an experiment whose methods vary both, such as `make experiment NAME=map_one_group_k36`. It writes
results/map/map.csv and map.png.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mfr.comparison.figures.synthetic import heat_maps
from mfr.comparison.summary import LOWER_IS_BETTER, reference
from mfr.comparison.tables import write_table
from mfr.config.load import load
from mfr.config.synthetic import Synthetic
from mfr.config.training import Method
from mfr.runtime import paths
from mfr.runtime.command import status_of
from mfr.runtime.errors import UserError
from mfr.runtime.files import writing

METRICS = {"truth_recovered": "true features recovered, points", "mse": "mean squared error, %"}
TO_PERCENT = {"difference": 100, "percent": 1}
CHANGES = ["change", "change_low", "change_high"]


def alpha_by_rate(
    summary: pd.DataFrame, methods: Mapping[str, Method], versus: Mapping[str, str], usual_rate: float
) -> pd.DataFrame:
    """The change of each method with a penalty of fixed α against its `versus`, in points or percent: columns metric, alpha,
    learning_rate, change, change_low, change_high and seeds, from a summary of `mfr.comparison.summary`.

    Raises UserError where two methods share a place, or one is compared with a method of another learning rate.
    """
    fixed = {
        name: (method.penalty.alpha * method.penalty.alpha_factor, method.learning_rate or usual_rate)
        for name, method in methods.items()
        if method.penalty and isinstance(method.penalty.alpha, float)
    }
    _refuse_unplaceable(fixed, methods, versus, usual_rate)
    group = "all_k" if "all_k" in set(summary["group"]) else summary["group"].iloc[0]
    table = summary[summary["method"].isin(fixed) & summary["metric"].isin(METRICS) & (summary["group"] == group)]
    table = table.assign(
        alpha=[fixed[name][0] for name in table["method"]], learning_rate=[fixed[name][1] for name in table["method"]]
    )
    table[CHANGES] = table[CHANGES].mul(table["change_unit"].map(TO_PERCENT), axis=0)
    table["seeds"] = table.get("pairs", table["seeds"])
    return table[["metric", "alpha", "learning_rate", *CHANGES, "seeds"]]


def _refuse_unplaceable(
    places: Mapping[str, tuple[float, float]], methods: Mapping[str, Method], versus: Mapping[str, str], usual_rate: float
) -> None:
    for name, (alpha, rate) in places.items():
        other = reference(name, versus)
        if (methods[other].learning_rate or usual_rate) != rate:
            raise UserError(
                f"params.yaml: synthetic.compare.versus: {name} is set against {other}, which has another learning rate; "
                f"name a method of {rate:g}"
            )
        twin = next(other for other, place in places.items() if place == (alpha, rate))
        if twin != name:
            raise UserError(
                f"params.yaml: {twin} and {name} both have α {alpha:g} and learning rate {rate:g}; a map takes one of them"
            )


def write() -> None:
    """Write the table and the figure."""
    section = load(Path("params.yaml")).section(Synthetic)
    summary = paths.result("synthetic", "summary.csv")
    if not summary.is_file():
        raise UserError(f"{summary}: no such file: run `snakemake synthetic --cores 4 --resources gpu=1` first")
    table = alpha_by_rate(pd.read_csv(summary), section.methods, section.compare.versus, section.train.learning_rate)
    if table["alpha"].nunique() < 2 or table["learning_rate"].nunique() < 2:
        raise UserError("params.yaml: a map takes methods with penalties of several numbers for alpha and learning_rate")
    with writing(paths.result("map", "map.csv"), paths.result("map", "map.png")) as [table_part, figure_part]:
        write_table(table, table_part)
        heat_maps(table, METRICS, LOWER_IS_BETTER).savefig(figure_part)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    argparse.ArgumentParser(prog="python -m workflow.map", description=__doc__).parse_args(argv)
    return status_of(write)


if __name__ == "__main__":
    sys.exit(main())
