"""An empty folder to run stages in, with the tests' experiment."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from workflow.experiment import compose

SMOKE = compose("smoke", ROOT / "params")


@contextmanager
def small_project(folder: Path) -> Iterator[None]:
    """Work in `folder`, whose params.yaml is the experiment smoke."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text(SMOKE)
        yield


def fit_params(source: str) -> None:
    """Let params.yaml describe the ensembles of a source that lie in runs/, which no stage has trained."""
    cards = {path.parts[2:4]: json.loads(path.read_text()) for path in sorted(Path("runs", source).glob("*/*/saes.json"))}
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["seeds"] = sorted({int(seed) for _, seed in cards})
    params[source] |= {"train": next(iter(cards.values()))["train"], "methods": {method: {} for method, _ in cards}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
