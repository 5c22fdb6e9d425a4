import os

import pytest

from mfr.runtime.errors import UserError
from mfr.sources.eeg.recordings import pin
from tests.support.recording_files import noise, write_edf


def left_out(folder):
    manifest, lines = pin(folder)
    return {entry.path: entry.reason for entry in manifest.left_out}, [file.path for file in manifest.files], lines


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def test_links_to_folders_are_followed_and_dangling_links_have_a_reason(tmp_path):
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    write_edf(elsewhere / "1.edf", {"C3": noise(1)})
    mine.mkdir()
    (mine / "a").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(mine)
    (mine / "b.edf").symlink_to(".git/annex/objects/key")
    (mine / os.fsdecode(b"\xe9.edf")).write_text("")
    reasons, files, [line] = left_out(mine)
    assert files == ["a/1.edf"] and set(reasons) == {"b.edf", r"\udce9.edf"}
    assert "git-annex pointer" in reasons["b.edf"] and "UTF-8" in reasons[r"\udce9.edf"] and line.count("1 × ") == 2


def test_formats_that_are_not_read_have_a_reason_and_other_files_are_counted(tmp_path):
    write_edf(tmp_path / "good.edf", {"C3": noise(1)})
    touch(
        tmp_path,
        "a.CNT",
        "b.edf.gz",
        "c.set.zip",
        "d.mff/signal1.bin",
        "d.mff/info.xml",
        "e.nwb",
        "f.xdf",
        "g.trc",
        "h.ds/h.res4",
    )
    touch(tmp_path, "participants.tsv", "README", "x.json", "y.json", "z.mat")
    reasons, files, lines = left_out(tmp_path)
    assert files == ["good.edf"]
    assert {path: reason.split(" (")[0] for path, reason in reasons.items()} == {
        "a.CNT": "format is not supported: .cnt",
        "b.edf.gz": "packed: unpack it to have it read",
        "c.set.zip": "packed: unpack it to have it read",
        "d.mff": "format is not supported: .mff",
        "e.nwb": "format is not supported: .nwb",
        "f.xdf": "format is not supported: .xdf",
        "g.trc": "format is not supported: .trc",
        "h.ds": "format is not supported: .ds",
    }
    assert lines[1].endswith("endings are not of recordings: 2 × .json, 1 × without ending, 1 × .tsv, 1 × .mat")


def test_a_folder_with_only_what_cannot_be_read_says_so(tmp_path):
    touch(tmp_path, "a.cnt", "b.cnt")
    (tmp_path / "c.edf").symlink_to("gone")
    with pytest.raises(
        UserError, match=r"no file with the ending .edf.* \(left out: 2 × format is not .*1 × dangling.*first is a.cnt"
    ):
        pin(tmp_path)


def test_folders_of_a_bids_data_set_that_are_not_for_raw_data(tmp_path):
    for name in (
        "sub-01/eeg/sub-01_eeg.edf",
        "derivatives/clean/sub-01/a.edf",
        "derivatives/clean/sub-02/a.edf",
        "sourcedata/a.edf",
    ):
        write_edf(tmp_path / name, {"C3": noise(1)})
    touch(tmp_path, "code/run.py", "stimuli/a.wav", "sub-01/eeg/sub-01_channels.tsv", "derivatives/clean/x.cnt")
    manifest, _ = pin(tmp_path)
    assert [file.path for file in manifest.files] == ["sub-01/eeg/sub-01_eeg.edf"]
    assert [file.path for file in manifest.companions] == ["sub-01/eeg/sub-01_channels.tsv"]
    assert {entry.path: entry.reason.split(" (")[0] for entry in manifest.left_out} == {
        "derivatives": "BIDS folder that is not for raw data: 3 recordings",
        "sourcedata": "BIDS folder that is not for raw data: 1 recording",
    }
    assert [file.path for file in pin(tmp_path / "derivatives/clean")[0].files] == ["sub-01/a.edf", "sub-02/a.edf"]


def test_a_subject_may_be_called_as_a_folder_of_bids_is(tmp_path):
    for name in ("sourcedata/a.edf", "code/a.edf"):
        write_edf(tmp_path / name, {"C3": noise(1)})
    assert left_out(tmp_path)[:2] == ({}, ["code/a.edf", "sourcedata/a.edf"])
