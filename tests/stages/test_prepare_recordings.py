import json
import os
from pathlib import Path

import pytest

from mfr.config.eeg import PrepareRecordings, Simulated
from mfr.runtime.errors import UserError
from mfr.sources.eeg.simulation import sessions
from mfr.sources.eeg.subjects import subject_of
from stages.prepare_recordings import run
from tests.support.recording_files import noise, write_edf


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_simulated_corpus_is_listed_and_the_same_anywhere(tmp_path):
    simulated = PrepareRecordings(simulated=Simulated(subjects=2, seconds=10, seed=3))
    run(simulated, tmp_path / "one/recordings")
    run(simulated, tmp_path / "two/recordings")
    first = contents(tmp_path / "one/recordings")
    assert first == contents(tmp_path / "two/recordings")
    listed = manifest(tmp_path / "one/recordings")
    assert listed["root"] == "."
    assert [file["path"] for file in listed["files"]] == sorted(session.path for session in sessions(2))
    assert all(file["bytes"] == len(first[file["path"]]) and file["modified_ns"] is None for file in listed["files"])
    assert set(first) == {"manifest.json", *(file["path"] for file in listed["files"])}


def test_an_earlier_corpus_is_replaced_whole(tmp_path):
    for subjects in (4, 2):
        run(PrepareRecordings(simulated=Simulated(subjects=subjects, seconds=10)), tmp_path / "recordings")
    assert len(list((tmp_path / "recordings").rglob("*.edf"))) == len(sessions(2))


def test_a_users_folder_is_listed_and_left_only(tmp_path):
    mine = tmp_path / "mine"
    for name in ("b/2.EDF", "b/1.edf", "a.edf"):
        write_edf(mine / name, {"C3": noise(10)})
    (mine / "notes.txt").write_text("no recording")
    (mine / "folder.edf").mkdir()
    os.utime(mine / "a.edf", ns=(5, 1_400_000_000_123_456_789))
    before = contents(mine)
    run(PrepareRecordings(recordings="../mine"), tmp_path / "recordings")
    listed = manifest(tmp_path / "recordings")
    assert listed["root"] == str(mine.resolve())
    assert [file["path"] for file in listed["files"]] == ["a.edf", "b/1.edf", "b/2.EDF"]
    assert listed["files"][0] == {
        "path": "a.edf",
        "bytes": (mine / "a.edf").stat().st_size,
        "modified_ns": 1_400_000_000_123_456_789,
        "sha256": None,
    }
    assert contents(mine) == before and list(contents(tmp_path / "recordings")) == ["manifest.json"]


def test_what_version_control_hides_is_no_second_copy_of_a_recording(tmp_path):
    mine, kept = tmp_path / "mine", tmp_path / "mine" / ".git" / "annex" / "objects" / "key.edf"
    write_edf(kept, {"C3": noise(10)})
    (mine / "sub-01").mkdir()
    (mine / "sub-01" / "eeg.edf").symlink_to(kept)
    (mine / "sub-01" / "._eeg.edf").write_bytes(b"what a Mac leaves beside a file")
    run(PrepareRecordings(recordings=str(mine)), tmp_path / "recordings")
    assert [file["path"] for file in manifest(tmp_path / "recordings")["files"]] == ["sub-01/eeg.edf"]


def test_every_format_is_listed_and_what_it_is_read_with(tmp_path):
    mine = tmp_path / "mine"
    names = ["a.BDF", "b.fif", "c_raw.fif.gz", "d.gdf", "e.set", "f.vhdr"]
    for name in [*names, "e.fdt", "f.eeg", "f.vmrk", "notes.txt", "g.mat"]:
        mine.mkdir(exist_ok=True)
        (mine / name).write_text(name)
    run(PrepareRecordings(recordings="../mine"), tmp_path / "recordings")
    listed = manifest(tmp_path / "recordings")
    assert [file["path"] for file in listed["files"]] == names
    assert [file["path"] for file in listed["companions"]] == ["e.fdt", "f.eeg", "f.vmrk"]


def test_eegbci_is_pinned_in_mnes_folder_of_data_sets(tmp_path, monkeypatch):
    files = tmp_path / "sets/MNE-eegbci-data/files/eegmmidb/1.0.0"
    for name in ("S001/S001R01.edf", "S001/S001R02.edf", "S002/S002R01.edf", "S002/S002R02.edf"):
        write_edf(files / name, {"Fc5.": noise(10)})
    monkeypatch.setenv("MNE_DATASETS_EEGBCI_PATH", str(tmp_path / "sets"))
    run(PrepareRecordings(recordings="eegbci", eegbci={"subjects": 2, "runs": [1, 2]}), tmp_path / "recordings")
    listed = manifest(tmp_path / "recordings")
    assert listed["root"] == str(files) and [file["path"] for file in listed["files"]] == sorted(
        path.relative_to(files).as_posix() for path in files.rglob("*.edf")
    )
    assert [subject_of(file["path"]) for file in listed["files"]] == ["S001", "S001", "S002", "S002"]


def test_eegbci_without_a_network_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_DATASETS_EEGBCI_PATH", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"eegbci cannot be downloaded .*connect to a network") as raised:
        run(PrepareRecordings(recordings="eegbci", eegbci={"subjects": 1, "runs": [1]}), tmp_path / "recordings")
    assert "\n" not in str(raised.value) and not (tmp_path / "recordings").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone", "does not exist"), ("empty", "contain no file with the ending .edf, .bdf"), ("file", "is not a folder")],
)
def test_a_folder_that_is_missing_or_empty(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        run(PrepareRecordings(recordings=str(tmp_path / name)), tmp_path / "recordings")
    assert not (tmp_path / "recordings").exists()


def test_recordings_inside_the_output_are_not_deleted(tmp_path):
    path = write_edf(tmp_path / "recordings/mine/a.edf", {"C3": noise(10)})
    with pytest.raises(UserError, match="which this stage replaces"):
        run(PrepareRecordings(recordings=str(tmp_path / "recordings/mine")), tmp_path / "recordings")
    assert path.exists()
