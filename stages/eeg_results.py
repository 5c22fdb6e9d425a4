"""What compare writes of EEG alone: table 3, the claims, and the recordings that were used."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mfr import eeg_figures
from mfr.claims_eeg import claims_eeg
from mfr.method import Method
from mfr.metrics import Evaluation
from mfr.table3 import decoder_distances, table3
from stages.runs import Run, write_table

WINDOWS = ("windows_kept", "windows_dropped", "flat", "clipped", "noisy", "across")  # columns of the table
NAMES = ("recordings.csv", "table3.csv", "claims.csv", "decoder_distances.png")


def write(
    parts: Mapping[str, Path],
    runs: list[Run],
    evaluations: list[Evaluation],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    methods: Mapping[str, Method],
    recordings: Path,
) -> None:
    """Write `parts`, a path for each of `NAMES`; `tables` are the long table and the summary of `mfr.comparison`."""
    values, summary = tables
    distances = decoder_distances(evaluations)
    write_table(table3(summary, distances), parts["table3.csv"], digits=4)
    write_table(claims_eeg(values, distances, methods), parts["claims.csv"])
    hidden = json.loads(runs[0].card.read_text())["train"]["hidden"]
    eeg_figures.decoder_distances(distances, hidden).savefig(parts["decoder_distances.png"])
    shutil.copyfile(recordings, parts["recordings.csv"])


def recordings_tree(recordings: Path) -> dict[str, object]:
    """How many recordings were used and skipped, and why, and windows kept and dropped for each reason, for the metrics."""
    table = pd.read_csv(recordings)
    # What comes after the colon is about the one file.
    reasons = Counter(table.loc[table["status"] == "skipped", "reason"].str.split(":").str[0])
    used = int((table["status"] == "used").sum())
    windows = {name.removeprefix("windows_"): int(table[name].sum()) for name in WINDOWS}
    return {"used": used, "skipped": reasons.total(), "reasons": dict(reasons), "windows": windows}
