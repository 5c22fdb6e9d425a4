"""A source of another kind, registered without a change to any file but its own."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.project import clone, run
from tests.support.small_project import SMOKE

OWN = {
    "mfr/config/tiny.py": '''
"""Parameters of a tiny source."""

from typing import ClassVar

from pydantic import Field

from mfr.config.base import Positive
from mfr.config.source import SourceSection, Stages


class Tiny(SourceSection):
    """Rows of noise."""

    stages: ClassVar[Stages] = {"make_tiny": ["rows"]}

    rows: Positive = Field(description="Rows of each file.")
''',
    "mfr/sources/tiny/__init__.py": '"""Rows of noise."""\n',
    "mfr/sources/tiny/source.py": '''
"""Rows of noise as a source."""

from mfr.sources.source import Source


class TinySource(Source):
    """Rows of noise, explained by their numbers."""

    measured_by = "mfr.sources.tiny.answers"
    explained_by = "mfr.sources.tiny.answers"
    reported_by = "mfr.comparison.tiny"


SOURCE = TinySource()
''',
    "mfr/sources/tiny/answers.py": '''
"""What only this source measures and explains; loaded by stages of higher floors."""


def measures(section, heldout, mean, reconstructions, device):
    from mfr.evaluation.own import Measures

    rows = heldout.read(0, heldout.rows).to(device)
    worst = [float((f(rows) - rows).abs().max()) for f in reconstructions]
    return Measures([{"worst": value} for value in worst], {"rows": float(heldout.rows)})


def contexts(section, heldout, device):
    from mfr.description.contexts import Contexts

    class Numbers(Contexts):
        def of_rows(self, rows):
            return {"top_numbers": rows.astype(str)}

    return Numbers()
''',
    "mfr/comparison/tiny.py": '''
"""What only the tiny source reports."""

from mfr.comparison.report import Numbers
from mfr.comparison.summary import over_k


def write(runs, folder):
    (folder / "worst.txt").write_text(str(over_k(runs.summary, "worst")))


def numbers(runs):
    of_methods = {method: {"worst": worst} for method, worst in over_k(runs.summary, "worst").items()}
    return Numbers(of_methods, {"rows": runs.evaluations[0].own["rows"]})
''',
    "stages/make_tiny.py": '''
"""Draw the rows."""

import sys

import numpy as np

from mfr.config.tiny import Tiny
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.vectors.writer import VectorWriter
from stages.common import call, stage_parser


def _stage(_, params):
    rows = params.section(Tiny).rows
    with writing(*(paths.vectors("tiny", split) for split in ("train", "heldout"))) as parts:
        for seed, part in enumerate(parts):
            with VectorWriter(part, "tiny", {"vectors": ((8,), "float32")}) as writer:
                writer.append(vectors=np.random.default_rng(seed).normal(size=(rows, 8)))
    return f"{rows} rows"


if __name__ == "__main__":
    sys.exit(call(_stage, stage_parser("stages.make_tiny", __doc__).parse_args()))
''',
    "workflow/rules/tiny.smk": """
rule make_tiny:
    input:
        code=code_of("make_tiny", "tiny"),
    output:
        train=paths.vectors("tiny", "train"),
        heldout=paths.vectors("tiny", "heldout"),
    log:
        "logs/tiny/make_tiny.log",
    params:
        declared=declared(config, "make_tiny"),
        planned=planned(config, "make_tiny"),
    shell:
        "python -m stages.make_tiny --planned {params.planned} > {log} 2>&1"
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = clone(tmp_path)
    for name, text in OWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (folder / name).exists()
        (folder / name).write_text(text.lstrip())
    smoke = yaml.safe_load(SMOKE)
    train = smoke["eeg"]["train"] | {"hidden": 12, "k": [2, 3], "batch": 20, "steps": 20}
    tiny = {"rows": 200, "train": train, "methods": smoke["eeg"]["methods"]}
    experiment = {"seeds": [0, 1], "sources": ["tiny"], "tiny": tiny, "execution": smoke["execution"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(experiment))
    return folder


def test_another_source_goes_through_all_stages_and_adds_what_is_its_own(project: Path) -> None:
    run(project, "snakemake", "--cores", "2")
    metrics = json.loads((project / "metrics" / "tiny.json").read_text())["tiny"]
    assert metrics["rows"] == 200 and set(metrics["mfr"]) == {"mse", "worst"} and metrics["mfr"]["worst"] > 0
    assert "mfr" in (project / "results" / "tiny" / "worst.txt").read_text()
    program = "import pandas as pd; print(*pd.read_parquet('features/tiny/mfr/1/features.parquet').columns)"
    assert "top_numbers" in run(project, "python", "-c", program).split()
    # A parameter of the new section is checked as the others are.
    edited = (project / "params.yaml").read_text().replace("rows: 200", "rows: -1")
    (project / "params.yaml").write_text(edited)
    assert "tiny.rows: Input should be greater than 0" in run(project, "snakemake", "-n", "--cores", "1", fails=True)
