import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.bids import data_sets, not_raw, table_of

RAW = "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_run-1_eeg.edf"


def test_folders_that_are_not_for_raw_data_are_those_of_a_data_set():
    paths = [RAW, "derivatives/clean/sub-01/a.edf", "sourcedata/x.edf", "more/dataset_description.json", "more/code/a.edf"]
    sets = data_sets([*paths, "plain/sourcedata/a.edf"])
    left = {path: not_raw(path, sets) for path in [*paths, "plain/sourcedata/a.edf", "sub-01/code/a.edf", "derivatives"]}
    assert {path: folder for path, folder in left.items() if folder} == {
        "derivatives/clean/sub-01/a.edf": "derivatives",
        "sourcedata/x.edf": "sourcedata",
        "more/code/a.edf": "more/code",
    }


def write(path, rows, head="name\ttype\tunits\tstatus"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n")


def test_the_nearest_table_whose_entities_the_recording_has_is_used(tmp_path):
    tables = {
        "channels.tsv": "A",
        "task-rest_channels.tsv": "B",
        "task-walk_channels.tsv": "C",
        "sub-01/sub-01_channels.tsv": "D",
        "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_run-2_channels.tsv": "E",
        "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_channels.tsv": "F",
        "sub-02/channels.tsv": "G",
    }
    for path, name in tables.items():
        write(tmp_path / path, [f"{name}\tEEG\tuV\tgood"])

    def used(without):
        found = table_of(RAW, [path for path, name in tables.items() if name not in without], tmp_path)
        return found.electrodes[0] if found else None

    assert [used(""), used("F"), used("FD"), used("FDB"), used("FDBA")] == ["F", "D", "B", "A", None]


def test_bad_channels_and_those_of_another_type(tmp_path):
    rows = ["EEG Fp1-REF\tEEG\tuV\tgood", "C3\teeg\tuV\tBad", "C4\tEOG\tuV\tgood", "T7\tn/a\tuV\tn/a", 'O1\tEEG\tuV\tgood\t"x']
    write(tmp_path / "channels.tsv", rows, "name\ttype\tunits\tstatus\tstatus_description")
    table = table_of("a.edf", ["channels.tsv"], tmp_path)
    table.check(["FP1", "T3", "O1", "CZ"])
    assert table.eeg(["Fp1", "C3", "C4", "EKG"]) == ["Fp1", "C3", "EKG"]
    with pytest.raises(UnusableError, match=r"channel marked bad in channels.tsv: C3$"):
        table.check(["C3", "FP1"])
    with pytest.raises(UnusableError, match=r"channel of another type in channels.tsv: C4 \(EOG\)$"):
        table.check(["C3", "C4"])


@pytest.mark.parametrize("content", [b"labels\ttype\nC3\tEEG\n", b"\xff\xfename\n\xff"])
def test_a_damaged_table(tmp_path, content):
    (tmp_path / "a_channels.tsv").write_bytes(content)
    with pytest.raises(UnusableError, match=r"a_channels.tsv cannot be read: "):
        table_of("a.edf", ["a_channels.tsv"], tmp_path)
