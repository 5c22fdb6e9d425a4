"""Show the main tables, and whose they are: `python -m workflow.results`, or `make results`."""

import json
import subprocess
from pathlib import Path

import pandas as pd

from mfr.config.declared import differing
from mfr.config.load import load
from mfr.runtime import paths
from mfr.runtime.errors import UserError

SHOWN = ("mse", "fvu", "dead", "truth_recovered", "loss_recovered")


def summary_lines(summary: pd.DataFrame) -> list[str]:
    """A table, one line for each method and k: mean ± standard deviation over seeds, and the change of the loss."""
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


def whose(source: str) -> str:
    """Whether the results of a source are the committed record or yours, and from which date, commit and parameters."""
    folder = paths.results(source)
    committed = subprocess.run(["git", "status", "--porcelain", "--", str(folder)], capture_output=True, text=True)
    is_record = committed.returncode == 0 and not committed.stdout
    origin = json.loads(paths.result(source, "origin.json").read_text())
    age = "" if is_record else " (not committed)"
    return f"{'the committed record' if is_record else 'your results'}{age}, {origin['date']}, commit {origin['commit']}"


def difference(source: str) -> str | None:
    """How the parameters of a source's results differ from params.yaml; None if they are the same."""
    origin = json.loads(paths.result(source, "origin.json").read_text())
    try:
        params = load(Path("params.yaml"))
        current = {"seeds": sorted(params.seeds), "section": params.source(source).model_dump()}
    except UserError as error:
        return f"not comparable with params.yaml: {error}"
    found = differing({name: origin[name] for name in current}, current)
    stale = sorted(key.removeprefix("section.") for key, *_ in found)
    return f"out of date: params.yaml has other values of {', '.join(stale)}" if stale else None


def main() -> None:
    """Print the results of every source that has some."""
    found = sorted(folder.parent.name for folder in Path("results").glob("*/origin.json"))
    for source in found:
        print(f"\n{source}: {whose(source)}")
        if stale := difference(source):
            print(f"  {stale}")
        print("\n".join(summary_lines(pd.read_csv(paths.result(source, "summary.csv")))))
        print(f"  all tables and figures: {paths.results(source)}/; about ten figures: {paths.metrics(source)}")
    if found:
        print("\nmean ± standard deviation over seeds. `snakemake --report report.html` makes a page of all figures")
    else:
        print("no results yet: `make run` makes them")


if __name__ == "__main__":
    main()
