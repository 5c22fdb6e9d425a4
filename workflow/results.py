"""Show the main tables, and whose they are: `python -m workflow.results`, or `make results`."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mfr.comparison.summary import unchanged
from mfr.comparison.wording import MISSING, percent, with_spread
from mfr.config.declared import differing
from mfr.config.load import load
from mfr.runtime import paths
from mfr.runtime.command import status_of
from mfr.runtime.errors import UserError
from mfr.runtime.records import json_object
from mfr.runtime.wording import counted

SHOWN = ("mse", "fvu", "dead", "truth_recovered", "loss_recovered")
ALL_K = "  means over k"
ITS_CHANGE = ": the change is the mean of the changes at each k above, not the change of the mean mse"


def summary_lines(summary: pd.DataFrame, triggers: Mapping[str, bool] | None = None) -> list[str]:
    """A table, one line for each method and k: mean ± standard deviation over seeds, and the change of the loss.

    Lines of means over k come last, under a heading. A method whose every value equals that of the method it is compared with
    says so instead of a change. `triggers` says of methods that act only if triggered whether they ever were.
    """
    summary = summary.astype(dict.fromkeys(("mean", "sd", "change", "change_sd"), float))
    shown = [metric for metric in SHOWN if metric in set(summary["metric"])]
    per_k = summary[summary["group"] != "ensemble"].sort_values("group", key=lambda group: group == "all_k", kind="stable")
    identical, most = unchanged(summary), int(per_k["seeds"].max())
    table = [["group", "method", *shown, "mse change"]]
    for (group, method), rows in per_k.groupby(["group", "method"], sort=False):
        cells, versus = rows.set_index("metric"), rows["versus"].iloc[0]
        if method == versus:
            change = ""
        elif method in identical:
            change = f"identical to {versus}" + (": never triggered" if (triggers or {}).get(method) is False else "")
        else:
            change = _change(cells, most)
        table.append([group, method, *(_value(cells, metric, most) for metric in shown), change])
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in table), strict=True)]
    lines = [_line(row, widths) for row in table]
    of_all = sum(row[0] == "all_k" for row in table)
    heading = ALL_K + ITS_CHANGE * any(row[-1] for row in table[1:])
    return [*lines[:-of_all], heading, *lines[-of_all:]] if of_all else lines


def _line(cells: list[str], widths: list[int]) -> str:
    """Texts to the left, numbers to the right, and the change as long as it is."""
    *aligned, last = cells
    padded = [f"{cell:{'<' if i < 2 else '>'}{width}}" for i, (cell, width) in enumerate(zip(aligned, widths, strict=True))]
    return "  ".join(["", *padded, last]).rstrip()


def _value(cells: pd.DataFrame, metric: str, most: int) -> str:
    if metric not in cells.index:
        return MISSING
    return with_spread(cells["mean"][metric], cells["sd"][metric]) + _of_fewer(cells["seeds"][metric], most)


def _change(cells: pd.DataFrame, most: int) -> str:
    if "mse" not in cells.index:
        return MISSING
    pairs = cells.get("pairs", cells["seeds"])["mse"]
    return percent(cells["change"]["mse"], cells["change_sd"]["mse"]) + _of_fewer(pairs, most)


def _of_fewer(seeds: int, most: int) -> str:
    """The number of seeds behind a number, if it is not that of the others."""
    return f" (n = {seeds})" if 0 < seeds < most else ""


def origin_of(source: str) -> dict[str, Any]:
    """What a source's results were made with: parameters, date and commit; `UserError` if that is damaged."""
    path = paths.result(source, "origin.json")
    origin = json_object(path, "compare")
    if missing := {"seeds", "section", "date", "commit"} - origin.keys():
        raise UserError(f"{path}: damaged, without {', '.join(sorted(missing))}; run compare again")
    return origin


def triggers(source: str) -> dict[str, bool]:
    """Whether each method with reinitialisation ever reinitialised an SAE, from the results of a source."""
    section = origin_of(source)["section"]
    reinits = pd.read_csv(paths.result(source, "learning_curves.csv")).groupby("method")["reinits"].max()
    return {name: bool(reinits[name] > 0) for name, method in section["methods"].items() if method.get("reinitialise")}


def whose(source: str) -> str:
    """Whether the results of a source are the committed record or yours, and from which date, commit and parameters."""
    folder = paths.results(source)
    committed = subprocess.run(["git", "status", "--porcelain", "--", str(folder)], capture_output=True, text=True)
    is_record = committed.returncode == 0 and not committed.stdout
    origin = origin_of(source)
    age = "" if is_record else " (not committed)"
    return f"{'the committed record' if is_record else 'your results'}{age}, {origin['date']}, commit {origin['commit']}"


def difference(source: str) -> str | None:
    """How the parameters of a source's results differ from params.yaml; None if they are the same."""
    origin = origin_of(source)
    try:
        params = load(Path("params.yaml"))
        current = {"seeds": sorted(params.seeds), "section": params.source(source).model_dump()}
    except UserError as error:
        return f"not comparable with params.yaml: {error}"
    found = differing({name: origin[name] for name in current}, current)
    stale = sorted(key.removeprefix("section.") for key, *_ in found)
    return f"out of date: params.yaml has other values of {', '.join(stale)}" if stale else None


def _spread(seeds: int) -> str:
    return f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else f"of {counted(seeds, 'seed')}, so without a spread"


def show() -> None:
    """Print the results of every source that has some."""
    found = sorted(folder.parent.name for folder in Path("results").glob("*/origin.json"))
    for source in found:
        print(f"\n{source}: {whose(source)}")
        if stale := difference(source):
            print(f"  {stale}")
        summary = pd.read_csv(paths.result(source, "summary.csv"))
        print("\n".join(summary_lines(summary, triggers(source))))
        print(f"  {_spread(int(summary['seeds'].max()))}")
        print(f"  all tables and figures: {paths.results(source)}/; about ten figures: {paths.metrics(source)}")
    if found:
        print("\n`snakemake --report report.html` makes a page of all figures")
    else:
        print("no results yet: `make run` makes them")


def main() -> int:
    """Run from the command line; return the exit status."""
    return status_of(show)


if __name__ == "__main__":
    sys.exit(main())
