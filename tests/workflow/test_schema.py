import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mfr.config.experiment import Params
from tests.conftest import ROOT
from workflow.schema import DOCUMENT, SCHEMA, generated, main

READ_AS = {"notch_hz": "notches_hz", "reading": "active_per_group"}


def parameters() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Section, name and schema of every parameter."""
    schema = Params.model_json_schema()
    for section, definition in [("Params", schema), *schema["$defs"].items()]:
        for key, entry in definition["properties"].items():
            yield section, key, entry


def test_generated_files_are_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["--check"]) == 0


def test_a_drifted_file_fails_the_check_and_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1 and not DOCUMENT.exists()
    assert main([]) == 0 and main(["--check"]) == 0
    DOCUMENT.write_text(DOCUMENT.read_text().replace("Latents of each SAE", "Latents"))
    assert main(["--check"]) == 1
    assert "docs/configuration.md is out of step" in capsys.readouterr().err


def test_every_parameter_is_documented() -> None:
    """Each has a row of its own, even where another section has a parameter of that name."""
    rows = re.findall(r"^\| `(\w+)` \|.*(?<!\\)\| (.+) \|$", generated()[DOCUMENT], re.MULTILINE)
    described = []
    for name, key, entry in parameters():
        assert "description" in entry or "$ref" in entry, f"{name}.{key} has no description"
        if "description" in entry:
            described.append((key, entry["description"].replace("|", r"\|")))
    assert sorted(rows) == sorted(described)


def test_the_schema_refuses_unknown_keys() -> None:
    schema = json.loads(generated()[SCHEMA])
    assert all(definition["additionalProperties"] is False for definition in schema["$defs"].values())


def test_every_parameter_is_used() -> None:
    """A name that no module but the parameters' own mentions would do nothing."""
    modules = [path for folder in ("mfr", "stages") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in modules if path.parent.name != "config")
    assert len(modules) > 60
    for name, key, _ in parameters():
        assert re.search(rf"\.{READ_AS.get(key, key)}\b", code), f"{name}.{key} is never read"


def test_the_command_explains_itself() -> None:
    done = subprocess.run([sys.executable, "-m", "workflow.schema", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert "--check" in done.stdout
