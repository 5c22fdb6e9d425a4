import json
import subprocess
import sys
from pathlib import Path

import pytest

from mfr.params import Params
from tests.conftest import ROOT
from workflow.schema import DOCUMENT, SCHEMA, generated, main


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
    document = generated()[DOCUMENT]
    for name, definition in Params.model_json_schema()["$defs"].items():
        for key, entry in definition["properties"].items():
            assert "description" in entry or "$ref" in entry, f"{name}.{key} has no description"
            if "$ref" not in entry:
                assert f"`{key}`" in document


def test_the_schema_refuses_unknown_keys() -> None:
    schema = json.loads(generated()[SCHEMA])
    assert all(definition["additionalProperties"] is False for definition in schema["$defs"].values())


def test_every_parameter_is_used() -> None:
    """A name that no module but the parameters' own mentions would do nothing."""
    code = "\n".join(path.read_text() for folder in ("mfr", "stages") for path in (ROOT / folder).glob("*.py"))
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for definition in Params.model_json_schema()["$defs"].values():
        for key in definition["properties"]:
            assert f".{key}" in code or key in rules, f"{key} is never read"


def test_the_command_explains_itself() -> None:
    done = subprocess.run([sys.executable, "-m", "workflow.schema", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert "--check" in done.stdout
