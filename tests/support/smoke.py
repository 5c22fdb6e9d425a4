"""The experiment smoke in a clone: its jobs, edits of its parameters, and what its files contain."""

import json
from pathlib import Path

from tests.support.project import edit, run

MFR_OF_SYNTHETIC = {
    "python -m stages.train --source synthetic --method mfr --seed 0",
    "python -m stages.evaluate --source synthetic --method mfr --seed 0",
    "python -m stages.describe --source synthetic",
    "python -m stages.compare --source synthetic",
}
FACTOR = "penalty: {matching: hungarian, alpha: balanced, alpha_factor: %s, warmup: 10, refresh: 10}\n    reinit:"
GOOD_CHANNELS, BAD_CHANNELS = "channels: [C3, C4, O1, O2]", "channels: [C3, C99]"


def change_weight(folder: Path, old: str, new: str) -> None:
    edit(folder, "params.yaml", FACTOR % old, FACTOR % new)


def vectors_and_results(folder: Path) -> dict[Path, bytes]:
    files = [
        *folder.glob("data/eeg/*.h5"),
        *folder.glob("metrics/*"),
        *folder.glob("results/eeg/*"),
        *folder.glob("runs/eeg/*/*/*"),
        *folder.glob("features/eeg/*/*/*"),
    ]
    return {path: path.read_bytes() for path in files}


def metrics_diff(folder: Path) -> list[dict[str, object]]:
    difference = json.loads(run(folder, "dvc", "metrics", "diff", "--json", "--all"))
    return [{"key": key, **values} for file in difference.values() for key, values in file.items()]
