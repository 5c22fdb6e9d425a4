"""The survey of folders of recordings, through the stages that list and read them."""

from pathlib import Path

import mne
import pandas as pd
import pytest

from mfr.config.eeg import PreprocessEeg
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.eeg.electrodes import TCP19
from tests.support.recording_files import noise, write_brainvision, write_edf, write_fif
from tests.support.recording_project import TWO, prepare, preprocess, project, record

__all__ = ["project"]  # the fixture


@pytest.fixture(autouse=True)
def good(project):
    for subject in "xyz":
        record(f"{subject}/1.edf")


def test_what_cannot_be_reached_or_read_has_a_row():
    Path("mine/gone.edf").symlink_to("nowhere")
    Path("mine/a.cnt").write_text("")
    write_brainvision(Path("mine/b/1.vhdr"), {"C3": noise(10), "C4": noise(10)}).unlink()
    prepare()
    table = preprocess()
    assert table.index[-3:].tolist() == ["a.cnt", "gone.edf", "b/1.eeg"]
    heads = {path: reason.partition(":")[0] for path, reason in table.reason.items() if reason}
    assert heads == {"a.cnt": "format is not supported", "gone.edf": "dangling link", "b/1.eeg": "samples without a header"}
    assert table.status.value_counts().to_dict() == {"used": 3, "skipped": 3}


def test_parts_of_a_long_fif_recording_without_the_others_have_a_reason():
    long = {"C3": noise(300, 1024), "C4": noise(300, 1024, seed=1)}
    for name, missing in {"first": "first_raw.fif", "next": "next_raw-1.fif"}.items():
        write_fif(Path("mine", name, f"{name}_raw.fif"), long, 1024, split_size="2MB")
        Path("mine", name, missing).unlink()
    prepare()
    reason = preprocess().reason
    assert reason["first/first_raw-1.fif"] == "continues a recording whose first part is missing or unusable: first_raw.fif"
    assert reason["next/next_raw.fif"].startswith("cannot be read: Split raw file detected but next file")


def test_channels_that_are_marked_bad_or_as_no_eeg_are_respected(capsys):
    path = record("sub-01/eeg/sub-01_task-rest_eeg.edf")
    table = path.with_name("sub-01_task-rest_channels.tsv")
    table.write_text("name\ttype\tunits\tstatus\nEEG C3-REF\tEEG\tuV\tbad\nC4\tEEG\tuV\tgood\n")
    fif = write_fif(Path("mine/w/1_raw.fif"), {"C3": noise(10), "C4": noise(10, seed=1)})
    raw = mne.io.read_raw(fif, preload=True)
    raw.info["bads"] = ["C4"]
    raw.save(fif, overwrite=True)
    prepare()
    reason = preprocess().reason
    assert reason["sub-01/eeg/sub-01_task-rest_eeg.edf"] == "channel marked bad in sub-01_task-rest_channels.tsv: C3"
    assert reason["w/1_raw.fif"] == "channel marked bad in the file: C4"
    table.write_text("name\ttype\nC3\tEOG\nC4\tEEG\n")
    with pytest.raises(UserError, match=r"channels.tsv: has changed since prepare_recordings listed it"):
        preprocess()
    prepare()
    reason = preprocess(TWO.model_copy(update={"channels": ["C3"]})).reason
    assert reason["sub-01/eeg/sub-01_task-rest_eeg.edf"].endswith("of another type in sub-01_task-rest_channels.tsv: C3 (EOG)")
    capsys.readouterr()
    preprocess(PreprocessEeg(channels="common", min_channels=1))
    told = capsys.readouterr().err
    assert "preprocess_eeg: 1 electrode: C4\n" in told and "sub-01_task-rest_eeg.edf costs most: it lacks 1 electrode " in told


def test_an_odd_file_that_costs_most_electrodes_is_named():
    for n in range(3):
        write_edf(Path(f"mine/{n}.edf"), {name: noise(10, seed=100 * n + m) for m, name in enumerate(TCP19)})
    prepare()
    with pytest.raises(
        UserError, match=r"common leaves 2 electrodes \(C3, C4\) in 6 recordings, .* x/1.edf costs most: it lacks 17"
    ):
        preprocess(PreprocessEeg(channels="common"))
    assert pd.read_csv(paths.RECORDINGS_FAILED).status.tolist() == ["usable"] * 6
    assert (preprocess(PreprocessEeg(channels="common", min_channels=2)).status == "used").all()


def test_a_file_without_eeg_channels_has_a_reason():
    write_fif(Path("mine/w/1_raw.fif"), {"EOG1": noise(10)})
    write_edf(Path("mine/w/2.edf"), {"EEG F7-T3": noise(10), "C3-C4": noise(10), **{f"X{n}": noise(10) for n in range(8)}})
    prepare()
    reason = preprocess().reason
    assert reason["w/1_raw.fif"] == "missing electrodes: C3, C4; it has no EEG channel"
    labels = "EEG F7-T3, C3-C4, X0, X1, X2, X3, … and 4 more (most like C3: C3-C4)"
    assert reason["w/2.edf"] == f"missing electrodes: C3, C4; its labels are {labels}"


def test_headers_that_name_the_same_samples_are_refused():
    path = write_brainvision(Path("mine/b/1.vhdr"), {"C3": noise(10), "C4": noise(10, seed=1)})
    path.with_name("2.vhdr").write_bytes(path.read_bytes())
    prepare()
    with pytest.raises(UserError, match=r"b/1.vhdr and b/2.vhdr \(both of subject b\) have identical samples; find out"):
        preprocess()


def test_one_file_is_counted_in_the_singular(capsys):
    for subject in "yz":
        Path("mine", subject, "1.edf").unlink()
    prepare()
    preprocess(TWO.model_copy(update={"split": "time"}))
    assert "preprocess_eeg: 1 usable file of 1 subject\n" in capsys.readouterr().err
    Path("mine/x/1.edf").write_text("")
    prepare()
    with pytest.raises(UserError, match="the only recording is not usable: 1 × empty: the file has 0 bytes"):
        preprocess()
