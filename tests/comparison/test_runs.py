from pathlib import Path

import pandas as pd

from mfr.comparison.runs import Runs
from mfr.config.load import load
from tests.support.small_project import small_project


def test_a_table_of_one_source_is_made_once(tmp_path: Path) -> None:
    with small_project(tmp_path):
        section = load(Path("params.yaml")).source("eeg")
    made = []

    def make(runs: Runs) -> pd.DataFrame:
        made.append(runs.source)
        return pd.DataFrame({"source": [runs.source]})

    runs = Runs("eeg", section, [])
    assert runs.once(make) is runs.once(make) and made == ["eeg"]
    assert Runs("eeg", section, []).once(make) is not runs.once(make)
