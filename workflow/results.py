"""Print where the results are, and the main figures: `python -m workflow.results`."""

import pandas as pd

from mfr.config.experiment import SOURCES
from mfr.runtime import paths

SHOWN = ("mse", "fvu", "dead", "truth_recovered", "loss_recovered")


def summary_lines(summary: pd.DataFrame) -> list[str]:
    """A table, a line for each method and k: mean ± standard deviation over seeds, and the change of the loss."""
    shown = [metric for metric in SHOWN if metric in set(summary["metric"])]
    width = summary["method"].str.len().max() + 2
    lines = [f"  {'group':<8}{'method':<{width}}" + "".join(f"{metric:>20}" for metric in shown) + f"{'mse change':>14}"]
    per_k = summary[summary["group"] != "ensemble"].sort_values("group", key=lambda group: group == "all_k", kind="stable")
    for (group, method), rows in per_k.groupby(["group", "method"], sort=False):
        cells = rows.set_index("metric")
        values = [_with_spread(cells["mean"][metric], cells["sd"][metric]) for metric in shown]
        change = "" if method == rows["versus"].iloc[0] else f"{cells['change']['mse']:+.1f} %"
        lines.append(f"  {group:<8}{method:<{width}}" + "".join(f"{value:>20}" for value in values) + f"{change:>14}")
    return lines


def _with_spread(mean: float, sd: float) -> str:
    return f"{mean:.4g}" if pd.isna(sd) else f"{mean:.4g} ± {sd:.2g}"


def main() -> None:
    """Print the results of every source that has some."""
    for source in SOURCES:
        summary = paths.result(source, "summary.csv")
        if summary.is_file():
            print(f"\n{source}: metrics in {paths.metrics(source)}, tables and figures in {summary.parent}/")
            print("\n".join(summary_lines(pd.read_csv(summary))))
    print("\nmean ± standard deviation over seeds; `dvc metrics show` lists all, `snakemake --report report.html` makes a page")


if __name__ == "__main__":
    main()
