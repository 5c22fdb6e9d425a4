"""An empty folder to run stages in, with the tests' experiment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT


@contextmanager
def small_project(folder: Path) -> Iterator[None]:
    """Work in `folder`, whose params.yaml is params/smoke.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text((ROOT / "params" / "smoke.yaml").read_text())
        yield
