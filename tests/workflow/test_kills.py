"""Whole runs that were killed in every stage have the bytes of one that was left alone."""

import json
from pathlib import Path

import pytest

from tests.support.killing import KILLED
from tests.support.left_alone import SECONDS

STAGES = 19  # of all sources
KILLS = 15  # at least: a stage may end before it is killed
PLACES = ("data", "runs", "exports", "features", "results", "metrics")
# With a date and a commit, or of an engine.
OTHERS = ("origin.json", ".snakemake_timestamp", ".gitignore")


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that the stages made."""
    files = [file for place in PLACES for file in (folder / place).rglob("*") if file.is_file() and file.name not in OTHERS]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("engine", ["made_by_snakemake", "made_by_dvc"])
def test_a_run_that_was_killed_in_every_stage_has_the_same_bytes(
    left_alone: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    killed = request.getfixturevalue(engine)
    assert len(json.loads((left_alone / SECONDS).read_text())) == STAGES
    stages = json.loads((killed / KILLED).read_text())
    assert len(set(stages)) == len(stages) >= KILLS, stages
    expected, found = outputs(left_alone), outputs(killed)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
