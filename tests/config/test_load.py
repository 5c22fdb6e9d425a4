from pathlib import Path
from typing import Any

import pytest
import yaml

from mfr.config.eeg import Eeg, PrepareRecordings
from mfr.config.load import check, load, read_text
from mfr.runtime.errors import UserError
from tests.conftest import ROOT
from tests.support.small_project import SMOKE


def smoke() -> dict[str, Any]:
    return yaml.safe_load(SMOKE)


def set_at(raw: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        raw = raw[section]
    raw[last] = value


def test_the_project_s_own_file_is_sound() -> None:
    assert load(ROOT / "params.yaml").seeds


def test_a_source_without_a_section_is_absent() -> None:
    raw = smoke() | {"sources": ["eeg"]}
    del raw["synthetic"], raw["language_model"]
    params = check(raw, "params.yaml")
    assert params.section(Eeg).train.hidden == 64
    with pytest.raises(UserError, match=r"params\.yaml: no section synthetic; its sources are eeg"):
        params.source("synthetic")


def test_sources_must_be_the_sections_that_are_there() -> None:
    with pytest.raises(UserError, match="sources lists eeg, but the sections are eeg, language_model, synthetic"):
        check(smoke() | {"sources": ["eeg"]}, "params.yaml")
    raw = smoke()
    del raw["eeg"]
    with pytest.raises(UserError, match="sources lists synthetic, language_model, eeg, but the sections are"):
        check(raw, "params.yaml")


def test_sections_that_would_be_empty_may_be_left_out() -> None:
    raw = smoke()
    for source in raw["sources"]:
        del raw[source]["compare"], raw[source]["evaluate"]
    del raw["eeg"]["denoise"], raw["eeg"]["prepare_recordings"], raw["eeg"]["preprocess_eeg"], raw["execution"]
    raw["language_model"]["dump_activations"]["heldout_tokens"] = 10_000
    params = check(raw, "params.yaml")
    assert params.section(Eeg).prepare_recordings.recordings == "simulated" and params.source("synthetic").compare.versus == {}


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("synthetic.train.hiden", "hidden"),
        ("eeg.methods.mfr.penalty.alhpa", "alpha"),
        ("language_model.prepare_model.trained_here.vocabulry", "vocabulary"),
        ("exekution", "execution"),
    ],
)
def test_misspelt_parameters_are_refused_with_a_suggestion(key: str, suggestion: str) -> None:
    raw = smoke()
    set_at(raw, key, 1)
    with pytest.raises(UserError) as caught:
        check(raw, "params.yaml")
    assert str(caught.value) == f"params.yaml: {key}: unknown parameter; did you mean '{suggestion}'?"


def test_a_parameter_like_no_other_gets_the_list_of_known_ones() -> None:
    raw = smoke()
    set_at(raw, "synthetic.evaluate.zzz", 1)
    with pytest.raises(UserError, match="known are recovered_at"):
        check(raw, "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("synthetic.train.k", [3, 65], "synthetic.train: k = 65 is larger than hidden = 64"),
        ("synthetic.train.k", [3], "method mfr has a penalty, which needs at least two SAEs"),
        ("synthetic.train.k", [], "k is empty"),
        ("synthetic.train.learning_rate", -1, "synthetic.train.learning_rate: Input should be greater than 0, but it is -1"),
        ("synthetic.generate_synthetic.decay", 1.5, "less than or equal to 1, but it is 1.5"),
        ("synthetic.generate_synthetic.reading", "one", "'one_group_k36', but it is 'one'"),
        ("synthetic.generate_synthetic.groups", 30, "leave only 2 per group"),
        ("synthetic.methods.mfr.penalty.alpha", "auto", "'balanced', 'initial_loss' or 'relative'"),
        ("synthetic.methods", {"mfr": {}}, "no `baseline`"),
        ("seeds", [0.0, 1], "valid integer"),
        ("seeds", ["01"], "valid integer"),
        ("synthetic.train.k", [True, 3], "valid integer"),
        ("synthetic.methods", {"baseline": {}, "nan": {}}, "method nan would be read from tables as a missing value"),
        ("synthetic.generate_synthetic.decay", 1e-10, "greater than or equal to 0.001"),
        ("eeg.compare.versus", {"mfr": "base"}, "compare.versus has mfr: base, but the methods are baseline, "),
        ("eeg.compare.versus", {"mrf": "baseline"}, "compare.versus has mrf: baseline, but the methods are baseline, "),
        ("eeg.methods", {"baseline": {}, "pca": {}}, "methods has pca, the name of a reference in the denoising tables"),
        ("synthetic.train.learning_rate", float("inf"), "learning_rate: Input should be a finite number, but it is inf"),
        ("eeg.train.noise_db", float("nan"), "eeg.train.noise_db: Input should be a finite number, but it is nan"),
        ("synthetic.methods.mfr.penalty.alpha", float("inf"), "Input should be a finite number"),
        ("synthetic.methods.reinit.reinitialise.check_every", 21, "check_every = 21 is more than check_steps = 20"),
        ("language_model.prepare_model.trained_here", None, "needs the section trained_here"),
        ("language_model.prepare_model.revision", "main", "revision = main, but a model that is trained here has none"),
        ("language_model.prepare_model.trained_here.heads", 3, "width = 32 must be a multiple of heads = 3"),
        (
            "language_model.dump_activations.context",
            33,
            "dump_activations.context = 33 is more than prepare_model.trained_here.context = 32",
        ),
        (
            "language_model.evaluate.sequences",
            34,
            "evaluate.sequences = 34, but dump_activations.heldout_tokens = 1000 with context = 32 gives only 33; ",
        ),
        ("eeg.preprocess_eeg.low_hz", 50, "low_hz = 50.0 must be below high_hz = 45.0"),
        ("eeg.preprocess_eeg.rate_hz", 80, "high_hz = 45.0 must be below half of rate_hz = 80.0"),
        ("eeg.preprocess_eeg.subject_pattern", "(S", "subject_pattern: not a regular expression: missing )"),
        ("eeg.preprocess_eeg.subject_pattern", r"S\d+", r"one group, for the subject, such as (S\d+), but it has 0"),
        ("eeg.preprocess_eeg.heldout_share", 0.9, "leave nothing for training; their sum must be below 1"),
        ("eeg.preprocess_eeg.notch_hz", [50, -1], "eeg.preprocess_eeg.notch_hz"),
        ("eeg.prepare_recordings.eegbci", {"runs": [15]}, "eeg.prepare_recordings.eegbci.runs"),
        ("seeds", [1, 1], "has a seed twice"),
        ("seeds", [], "seeds"),
        (
            "eeg.preprocess_eeg.notch_hz",
            [50, 64],
            "preprocess_eeg.notch_hz = 64.0 must be below half of preprocess_eeg.rate_hz = 100.0",
        ),
        ("eeg.train.noise_db", False, "eeg.train.noise_db: Input should be a valid number, but it is False"),
        ("eeg.train.noise_db", "3", "eeg.train.noise_db: Input should be a valid number, but it is '3'"),
        ("eeg.train.learning_rate", True, "valid number, but it is True"),
        ("eeg.denoise.windows", 10.0, "valid integer, but it is 10.0"),
        ("eeg.prepare_recordings.recordings", 12, "valid string, but it is 12"),
        ("eeg.prepare_recordings.recordings", "", "eeg.prepare_recordings.recordings: empty; give a value"),
        ("eeg.prepare_recordings.recordings", "$HOME/eeg", "'$HOME/eeg': variables such as $HOME are not replaced"),
        ("eeg.preprocess_eeg.channels", ["C3", " "], "eeg.preprocess_eeg.channels.1: empty"),
        ("eeg.preprocess_eeg.channels", [], "List should have at least 1 item"),
        ("eeg.preprocess_eeg.subject_pattern", "", "eeg.preprocess_eeg.subject_pattern: empty"),
        ("language_model.text.text", "~/$USER", "variables such as $HOME are not replaced"),
        ("language_model.text.column", "", "language_model.text.column: empty"),
        ("language_model.prepare_model.revision", "", "language_model.prepare_model.revision: empty"),
        ("synthetic.methods", {"baseline": {}, "a b": {}}, "synthetic.methods.a b: String should match pattern"),
        ("synthetic.methods", {"baseline": None}, "synthetic.methods.baseline: Input should be a valid dictionary"),
        ("synthetic.methods.mfr.penalty.alpha", True, "penalty.alpha: Input should be a valid number, or 'balanced', "),
        ("synthetic.train.k", "x" * 1000, "valid list, but it is '" + "x" * 79 + "…"),
    ],
)
def test_values_out_of_range_are_refused_by_name(key: str, value: object, message: str) -> None:
    raw = smoke()
    set_at(raw, key, value)
    with pytest.raises(UserError) as caught:
        check(raw, "params.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate.sequences": 33},
        {"evaluate.sequences": 34, "dump_activations.left_out": "special_tokens"},
        {"dump_activations.context": 64, "prepare_model.model": "gpt2"},
    ],
)
def test_what_the_dump_can_hold_is_accepted(changes: dict[str, object]) -> None:
    raw = smoke()
    for key, value in changes.items():
        set_at(raw, f"language_model.{key}", value)
    assert check(raw, "params.yaml")


def test_each_mistake_has_a_line() -> None:
    raw = smoke()
    set_at(raw, "synthetic.train.batch", 0)
    set_at(raw, "eeg.train.hiden", 3)
    del raw["seeds"]
    with pytest.raises(UserError) as caught:
        check(raw, "params.yaml")
    assert len(str(caught.value).splitlines()) == 3


def test_mistakes_of_yaml_and_of_values_are_reported_together_with_their_places() -> None:
    text = SMOKE.replace("seeds: [0]", "seeds: [010, x]\nsedes: 3").replace("batch: 100\n", "batch: 0\n    batch: 1\n", 1)
    with pytest.raises(UserError) as caught:
        read_text(text, "params.yaml")
    assert sorted(str(caught.value).splitlines()) == [
        "params.yaml: sedes: unknown parameter; did you mean 'seeds'? (line 4, column 1)",
        "params.yaml: seeds.0: 010 is 8 for some programs, but 10 for others; write 8 or 10 (line 3, column 9)",
        "params.yaml: seeds.1: Input should be a valid integer, but it is 'x' (line 3, column 14)",
        "params.yaml: synthetic.train.batch: given twice, first in line 29; keep one (line 30, column 5)",
    ]


def test_a_whole_number_stands_for_one_with_decimals_and_an_exponent_needs_no_dot() -> None:
    text = SMOKE.replace("learning_rate: 0.01\n", "learning_rate: 1e-3\n", 1).replace("high_hz: 45.0", "high_hz: 45")
    params = read_text(text, "params.yaml").typed
    assert params.source("synthetic").train.learning_rate == 0.001
    assert repr(params.section(Eeg).preprocess_eeg.high_hz) == "45.0"


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: no such file"):
        load(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="cannot be read as text"):
        load(tmp_path)
    (tmp_path / "params.yaml").write_bytes(b"seeds: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read as text"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seeds: [1\n")
    with pytest.raises(UserError, match=r"params\.yaml: not valid YAML"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(UserError, match=r"params\.yaml: "):
        load(tmp_path / "params.yaml")


def test_a_dollar_within_a_name_is_no_variable() -> None:
    assert PrepareRecordings(recordings="/data/a$b/x").recordings == "/data/a$b/x"
    for path in ("$HOME/x", "/data/$USER", "data/x${RUN}"):
        with pytest.raises(ValueError, match="variables such as"):
            PrepareRecordings(recordings=path)
