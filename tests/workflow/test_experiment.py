import shutil
from pathlib import Path

import pytest
import yaml

from mfr.config.load import load
from tests.conftest import ROOT
from workflow.experiment import compose, main, names, purpose_of

DEFAULT = yaml.safe_load((ROOT / "params" / "default.yaml").read_text())


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", names(ROOT / "params"))
def test_every_experiment_is_sound_and_says_what_it_is_for(name: str) -> None:
    assert main([name]) == 0 and load(Path("params.yaml")).seeds
    assert purpose_of(name) and Path("params.yaml").read_text().splitlines()[1] == f"# {purpose_of(name)[0]}"


@pytest.mark.parametrize("name", sorted(set(names(ROOT / "params")) - {"default"}))
def test_an_overlay_says_only_what_differs(name: str) -> None:
    overlay = yaml.safe_load(Path(f"params/{name}.yaml").read_text())

    def repeated(own: dict, usual: dict, where: str = "") -> list[str]:
        found = []
        for key, value in own.items():
            if key in usual and value == usual[key] and key != "methods":
                found.append(f"{where}{key}")
            elif isinstance(value, dict) and isinstance(usual.get(key), dict) and key != "methods":
                found += repeated(value, usual[key], f"{where}{key}.")
        return found

    assert repeated(overlay, DEFAULT) == []


def test_the_committed_parameters_are_the_default() -> None:
    assert (ROOT / "params.yaml").read_text() == compose("default")


def test_mappings_merge_methods_replace_and_absent_sources_go() -> None:
    Path("params/mine.yaml").write_text(
        "# Mine.\nsources: [eeg]\neeg:\n  train: {steps: 7}\n  methods:\n    baseline: {} # alone\n"
    )
    composed = yaml.safe_load(compose("mine"))
    assert "synthetic" not in composed and composed["eeg"]["methods"] == {"baseline": {}}
    assert composed["eeg"]["train"] == DEFAULT["eeg"]["train"] | {"steps": 7}
    assert composed["eeg"]["preprocess_eeg"] == DEFAULT["eeg"]["preprocess_eeg"] and "{} # alone" in compose("mine")


def test_an_edited_file_is_kept_unless_forced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke"]) == 0 and main(["paper"]) == 0
    edited = Path("params.yaml").read_text().replace("seeds: [0, 1]", "seeds: [7]")
    Path("params.yaml").write_text(edited)
    assert main(["smoke"]) == 1 and Path("params.yaml").read_text() == edited
    assert "error: params.yaml was edited" in capsys.readouterr().err
    assert main(["smoke", "--force"]) == 0
    shown = capsys.readouterr().out
    assert "-seeds: [7]" in shown and "+seeds: [0]" in shown


def test_an_unknown_experiment_and_a_wrong_one_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["papr"]) == 1
    assert capsys.readouterr().err.startswith("error: params/papr.yaml: no such file; experiments are confirm_one_group_k36")
    Path("params/wrong.yaml").write_text("eeg: {train: {hiden: 3}}\n")
    assert main(["wrong"]) == 1
    assert "params/wrong.yaml: eeg.train.hiden: unknown parameter; did you mean 'hidden'?" in capsys.readouterr().err


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("confirm_one_group_k36    Synthetic vectors at a tenth")


@pytest.mark.parametrize(
    ("overlay", "mistake"),
    [
        ("seeds: [010]\n", "seeds.0: 010 is 8 for some programs, but 10 for others; write 8 or 10 (line 1, column 9)"),
        ("seeds: [0]\nseeds: [1]\n", "seeds: given twice, first in line 1; keep one (line 2, column 1)"),
        ("- eeg\n", "contains no parameters by name; write lines such as `seeds: [0]`"),
        ("sources: 3\n", "sources: Input should be a valid list, but it is 3"),
        ("seeds: [0\n", "not valid YAML: expected ',' or ']', but got '<stream end>' (line 2, column 1)"),
    ],
)
def test_an_overlay_goes_through_the_same_checks_as_params_yaml(
    overlay: str, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params/wrong.yaml").write_text(overlay)
    assert main(["wrong"]) == 1 and not Path("params.yaml").exists()
    assert capsys.readouterr().err.splitlines()[0] == f"error: params/wrong.yaml: {mistake}"
