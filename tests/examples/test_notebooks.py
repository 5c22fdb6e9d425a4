"""The notebooks of examples/, run cell by cell on results of the experiment smoke with two seeds."""

import json
import re
from pathlib import Path
from textwrap import dedent

import matplotlib
import nbformat
import pytest
import yaml

from stages import (
    describe,
    dump_activations,
    evaluate,
    generate_synthetic,
    prepare_model,
    prepare_recordings,
    preprocess_eeg,
    train,
)
from tests.conftest import ROOT
from tests.support.small_project import SMOKE

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
VECTORS = {
    "synthetic": [generate_synthetic],
    "language_model": [prepare_model, dump_activations],
    "eeg": [prepare_recordings, preprocess_eeg],
}


def test_every_source_has_a_notebook() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(VECTORS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = path.stem
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load(SMOKE)
    section = params[source] | {"methods": {"baseline": {}}}
    experiment = {"seeds": [0, 1], "sources": [source], source: section, "execution": params["execution"]}
    Path("params.yaml").write_text(yaml.safe_dump(experiment))
    for stage in VECTORS[source]:
        assert stage.main([]) == 0
    for stage in (train, evaluate):
        for seed in ("0", "1"):
            assert stage.main(["--source", source, "--method", "baseline", "--seed", seed]) == 0
    assert describe.main(["--source", source]) == 0

    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    matplotlib.use("agg")
    capsys.readouterr()
    names: dict[str, object] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, path.name, "exec"), names)  # noqa: S102
    assert "above 0.7:" in capsys.readouterr().out
    if source == "language_model":
        monkeypatch.chdir(tmp_path)
        for snippet in readme_snippets():
            # The tests' experiment has two SAEs.
            exec(compile(snippet.replace("sae == 2", "sae == 1"), "README.md", "exec"), names)  # noqa: S102
        contexts = capsys.readouterr().out.split("\n---\n")
        assert all("«" in context for context in contexts)


def readme_snippets() -> list[str]:
    """The README's blocks of Python."""
    blocks = re.findall(r"(?:^    .*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    found = [dedent(block) for block in blocks if block.startswith("    import ")]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_small(path: Path) -> None:
    nbformat.validate(json.loads(path.read_text()))
    assert path.stat().st_size < 500_000
