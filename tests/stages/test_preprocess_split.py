"""The sides of the split, by subject and by time."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mfr.runtime.errors import UserError
from mfr.sources.eeg.split import SPLITS
from tests.support.recording_files import noise, write_edf
from tests.support.recording_project import TWO, prepare, preprocess, project, record

__all__ = ["project"]  # the fixture


def test_one_subject_is_not_enough():
    record("a/1.edf")
    record("a/2.edf")
    write_edf(Path("mine/b/1.edf"), {"O1": noise(10)})
    prepare()
    with pytest.raises(
        UserError,
        match=r"need 3 subjects, .* 'a' \(skipped: 1 × missing electrodes: C3, C4; its label is O1\); add .*folder of its own",
    ):
        preprocess()


@pytest.mark.parametrize(
    ("parameters", "warned"),
    [({}, True), ({"subject_pattern": r"(patient\d)"}, False), ({"split": "time"}, False)],
)
def test_subjects_are_counted_and_reported_if_files_names_made_them(capsys, parameters, warned):
    for n in range(6):
        record(f"patient{n // 2}_session{n % 2}.edf", seed=n)
    prepare()
    preprocess(TWO.model_copy(update=parameters))
    counted, *rest = capsys.readouterr().err.splitlines()
    warnings = [line for line in rest if line.startswith("warning")]
    assert counted == f"preprocess_eeg: 6 usable files of {3 if 'subject_pattern' in parameters else 6} subjects"
    expected = "warning: 6 files count as one subject each, by their names (such as patient0_session0.edf); "
    assert [warning.startswith(expected) for warning in warnings] == [True] * warned


def test_two_subjects_are_enough_without_validation():
    for name in ("a", "b"):
        record(f"{name}/1.edf")
    prepare()
    table = preprocess(TWO.model_copy(update={"validation_share": 0.0}))
    assert sorted(table.split) == ["heldout", "train"]
    with h5py.File("validation.h5") as file:
        assert file["vectors"].shape == (0, 64)


def test_subjects_are_drawn_among_those_with_a_good_window_and_every_side_is_shown(capsys):
    for name in "abcd":
        record(f"{name}/1.edf")
    for name in "efgh":
        write_edf(Path("mine", name, "1.edf"), {"C3": noise(10, seed=ord(name)), "C4": np.zeros(2560)})
    prepare()
    table = preprocess()
    assert table.split[table.status == "used"].value_counts().to_dict() == {"train": 2, "validation": 1, "heldout": 1}
    assert (table.split[table.status == "skipped"] == "").all() and (table.status == "used").sum() == 4
    shown = {side: table.subject[table.split == side].tolist() for side in SPLITS}
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["preprocess_eeg: 8 usable files of 8 subjects", "preprocess_eeg: 2 electrodes: C3, C4"]
    assert lines[-3:] == [
        f"preprocess_eeg: training: 2 subjects: {', '.join(shown['train'])}",
        f"preprocess_eeg: validation: 1 subject: {shown['validation'][0]}",
        f"preprocess_eeg: held-out: 1 subject: {shown['heldout'][0]}",
    ]


def test_too_few_subjects_with_a_good_window_are_refused():
    for name in ("a", "b"):
        record(f"{name}/1.edf")
    write_edf(Path("mine/c/1.edf"), {"C3": noise(10), "C4": np.zeros(2560)})
    prepare()
    with pytest.raises(UserError, match=r"need 3 subjects, .* of 'a', 'b' \(skipped: 1 × constant: C4\)"):
        preprocess()
    assert not list(Path().glob("*.h5"))


@pytest.mark.parametrize(
    ("seconds", "parameters", "reason"),
    [
        (
            10,
            {"window_s": 2.0},
            r"no validation vector: its part, 10% of the only recording \(at most 1 s\), contains no whole",
        ),
        (
            30,
            {"heldout_share": 0.02, "window_s": 2.0},
            r"no held-out vector: its part, 2% of the only recording \(at most 0.6 s\)",
        ),
        (30, {"heldout_share": 0.2, "flat": True}, r"no held-out vector: all 24 windows in that part .* dropped \(24 flat\)"),
    ],
)
def test_an_empty_side_of_a_split_by_time_has_its_cause(seconds, parameters, reason):
    signals = {"C3": noise(seconds), "C4": noise(seconds, seed=1)}
    signals["C3"][-256 * 7 :] *= not parameters.pop("flat", False)
    write_edf(Path("mine/a/1.edf"), signals)
    write_edf(Path("mine/a/2.edf"), {"O1": noise(10)})
    prepare()
    with pytest.raises(UserError, match=reason) as raised:
        preprocess(TWO.model_copy(update={"split": "time", **parameters}))
    assert "missing electrodes" not in str(raised.value)
