"""An empty folder to run stages in, with the tests' experiment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
