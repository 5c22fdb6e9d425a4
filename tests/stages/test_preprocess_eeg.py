import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import signal

from mfr.config.eeg import PrepareRecordings, PreprocessEeg, Simulated
from mfr.config.experiment import Execution
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.eeg.electrodes import TCP19
from mfr.sources.eeg.signals import microvolts
from mfr.sources.eeg.split import SPLITS
from mfr.vectors.reader import Vectors
from stages import prepare_recordings, preprocess_eeg
from tests.conftest import ROOT
from tests.support.recording_files import noise, write_edf, write_fif
from tests.support.recording_project import OUTPUTS, TWO, prepare, preprocess, project, record

__all__ = ["project"]  # the fixture


def test_simulated_recordings_become_vectors_of_different_subjects():
    simulated = PrepareRecordings(simulated=Simulated(subjects=6, seconds=10))
    prepare_recordings.run(simulated, Path("recordings"))
    parameters = PreprocessEeg(step_s=0.125)
    table = preprocess(parameters)
    assert table.status.tolist().count("skipped") == 1 and table.reason.str.startswith("cut short").sum() == 1
    sides = table[table.status == "used"].groupby("split").subject.unique()
    assert sorted(map(len, sides)) == [1, 2, 3] and len(set().union(*sides)) == 6
    for split in ("train", "validation", "heldout"):
        with h5py.File(f"{split}.h5") as file:
            subjects = json.loads(file.attrs["subjects"])
            of_row = table.iloc[file["recording"][:]]
            assert (of_row.split == split).all()
            assert of_row.subject.tolist() == [subjects[i] for i in file["subject"][:]]
            assert len(file["vectors"]) == table.windows_kept[table.split == split].sum()
            assert file["vectors"].shape[1] == 19 * 32 == 19 * file.attrs["window_samples"]
            assert [file[name].dtype for name in ("vectors", "recording", "start_s", "subject")] == ["f4", "i4", "f4", "i4"]
            assert file["mean"].shape == file["deviation"].shape == (len(file["vectors"]), 19)
            assert json.loads(file.attrs["channels"]) == list(TCP19) and file.attrs["rate_hz"] == 128
            assert json.loads(file.attrs["parameters"]) == parameters.model_dump()
            assert file.attrs["files_used"] == len(table) - 1 and file.attrs["files_skipped"] == 1
            assert json.loads(file.attrs["files"]) == table.index.tolist()
            rows = file["vectors"][:].reshape(-1, 19, 32)
        np.testing.assert_allclose(rows.mean(axis=2), 0, atol=1e-5)
        np.testing.assert_allclose(rows.std(axis=2), 1, atol=1e-4)
        with Vectors(Path(f"{split}.h5")) as vectors:
            assert vectors.source == "eeg" and vectors.rows == len(rows)
    assert (table.windows_kept[table.status == "used"] == (1280 - 32) // 16 + 1).all()


def test_a_row_is_the_window_that_its_columns_name():
    for name in ("a", "b", "c", "d"):
        record(f"{name}/1.edf", seed=ord(name))
    prepare()
    table = preprocess(TWO.model_copy(update={"standardise": "none"}))
    sections = signal.butter(5, [0.5, 45], btype="bandpass", fs=256, output="sos")
    with h5py.File("train.h5") as file:
        row = 57
        index = file["recording"][row]
        seed = ord(table.subject.iloc[index])
        raw = np.stack([noise(10, seed=seed), noise(10, seed=seed + 100)])
        clean = signal.resample_poly(signal.sosfiltfilt(sections, raw, padlen=512), 1, 2, axis=1)
        first = round(file["start_s"][row] * 128)
        assert (index, first) == (np.flatnonzero(table.split == "train")[1], (row - 40) * 32)
        np.testing.assert_allclose(file["vectors"][row].reshape(2, 32), clean[:, first : first + 32], atol=0.2)


def test_equal_parameters_give_equal_files_and_the_seed_draws_other_subjects():
    for subject in "abcdefgh":
        record(f"{subject}/1.edf")
    prepare()
    held = set()
    for seed in (0, 0, 1, 2, 3):
        table = preprocess(TWO.model_copy(update={"seed": seed}))
        chosen = table.subject[table.split == "heldout"]
        assert len(chosen) == 2
        held.add(("".join(sorted(chosen)), seed, Path("heldout.h5").read_bytes()))
    assert len(held) == 4 and len({chosen for chosen, _, _ in held}) > 1


def test_vectors_identify_their_recordings_by_their_contents():
    paths = [record(f"{subject}.edf") for subject in "abc"]
    write_edf(Path("mine/d.edf"), {"O1": noise(10)})
    write_fif(Path("mine/e_raw.fif"), {"C3": noise(200, 1024), "C4": noise(200, 1024)}, 1024, split_size="2MB")
    prepare()
    preprocess()
    made = [path.read_bytes() for path in OUTPUTS.values()]
    touch(paths[0])
    prepare()
    preprocess()
    assert [path.read_bytes() for path in OUTPUTS.values()] == made
    read = {f"{name}.edf": [f"{name}.edf"] for name in "abc"}
    read |= {"d.edf": [], "e_raw-1.fif": [], "e_raw.fif": ["e_raw.fif", "e_raw-1.fif"]}
    contents = {path: b"".join(Path("mine", name).read_bytes() for name in names) for path, names in read.items()}
    hashes = {path: hashlib.sha256(content).hexdigest() if content else "" for path, content in contents.items()}
    for path in OUTPUTS.values():
        with h5py.File(path) as file:
            files, told = (json.loads(file.attrs[name]) for name in ("files", "files_sha256"))
        assert dict(zip(files, told, strict=True)) == hashes


def test_a_run_that_stops_leaves_its_table_where_no_engine_deletes_it():
    record("a/1.edf")
    write_edf(Path("mine/b/1.edf"), {"O1": noise(10)})
    prepare()
    with pytest.raises(UserError, match=r"\(logs/eeg/recordings.csv has a row for each file\)$"):
        preprocess()
    table = pd.read_csv(paths.RECORDINGS_FAILED, keep_default_na=False, index_col="path")
    assert table.status.to_dict() == {"a/1.edf": "usable", "b/1.edf": "skipped"}
    assert table.reason["b/1.edf"] == "missing electrodes: C3, C4; its label is O1"
    for name in "cd":
        record(f"{name}/1.edf")
    prepare()
    preprocess()
    assert not paths.RECORDINGS_FAILED.exists()


@pytest.mark.parametrize("other", ["a/2.edf", "b/1.edf"])
def test_identical_recordings_are_refused(other):
    for name in "abc":
        record(f"{name}/1.edf")
    Path("mine", other).write_bytes(Path("mine/a/1.edf").read_bytes())
    prepare()
    subjects = "both of subject a" if other.startswith("a") else "of a and b"
    with pytest.raises(UserError, match=rf"a/1.edf and {other} \({subjects}\) have identical samples; find out"):
        preprocess()
    table = pd.read_csv(paths.RECORDINGS_FAILED, keep_default_na=False, index_col="path")
    assert table.reason[other] == "identical to another file: a/1.edf"


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


@pytest.mark.parametrize(
    ("change", "message"), [(grow, "has changed"), (touch, "has changed"), (Path.unlink, "has gone missing")]
)
def test_a_file_that_is_not_the_one_in_the_manifest(change, message):
    record("a/1.edf")
    path = record("b/1.edf")
    prepare()
    change(path)
    with pytest.raises(UserError, match=rf"b/1.edf: {message} since prepare_recordings listed it"):
        preprocess()


def test_a_simulated_recording_that_was_changed_is_refused():
    prepare_recordings.run(PrepareRecordings(simulated=Simulated(subjects=3, seconds=10)), Path("recordings"))
    path = sorted(Path("recordings").rglob("*.edf"))[-1]
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(UserError, match=rf"{path}: has changed since prepare_recordings listed it"):
        preprocess()


@pytest.mark.parametrize("text", ["{", "[]", '{"root": "."}', '{"root": ".", "files": [{}]}'])
def test_a_broken_manifest(text):
    with pytest.raises(UserError, match="no such file; run prepare_recordings first"):
        preprocess()
    Path("recordings").mkdir()
    Path("recordings/manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"recordings/manifest.json: (damaged|not written by this version)"):
        preprocess()


def test_progress_is_shown_at_most_once_a_file(capsys):
    for subject in "abc":
        record(f"{subject}/1.edf")
    prepare()
    preprocess(TWO, Execution(progress_s=1e-9))
    assert capsys.readouterr().err.count("of 3 usable files\n") == 3
    preprocess(TWO, Execution(progress_s=60))
    assert "usable files\n" not in capsys.readouterr().err


def test_both_stages_from_the_command_line(capsys):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["eeg"]["prepare_recordings"] = {"recordings": "simulated", "simulated": {"subjects": 3, "seconds": 10, "seed": 0}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert preprocess_eeg.main([]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert prepare_recordings.main([]) == preprocess_eeg.main([]) == 0
    for output in (*(paths.vectors("eeg", split) for split in SPLITS), paths.RECORDINGS_TABLE):
        assert output.is_file()


@pytest.mark.skipif("MFR_EEG_DIR" not in os.environ, reason="MFR_EEG_DIR names no folder with a real recording")
def test_a_real_recording_lacks_electrodes_of_tcp19_and_serves_without_them():
    [path] = Path(os.environ["MFR_EEG_DIR"]).rglob("*.edf")
    for subject in ("one", "two", "three"):
        Path("mine", subject).mkdir(parents=True)
        content = bytearray(path.read_bytes())
        content[8 : 8 + len(subject)] = subject.encode()  # the patient, because identical files are refused
        Path("mine", subject, "recording.edf").write_bytes(content)
    prepare()
    with pytest.raises(UserError, match="3 × missing electrodes: FP1, FP2, F7, F8"):
        preprocess(PreprocessEeg())
    table = preprocess(PreprocessEeg(channels=[name for name in TCP19 if name not in ("FP1", "FP2", "F7", "F8")]))
    # The program that wrote the file filled its last data record up with the last value: two windows are constant.
    assert (table.windows_kept == 954).all() and (table.windows_dropped == 2).all()
    with h5py.File("train.h5") as train, h5py.File("heldout.h5") as heldout:
        assert train["vectors"].shape == (954, 15 * 32)
        np.testing.assert_array_equal(train["vectors"][:], heldout["vectors"][:])


@pytest.mark.skipif("MFR_EEG_DIR" not in os.environ, reason="MFR_EEG_DIR names no folder with a real recording")
def test_one_real_recording_serves_by_itself():
    prepare_recordings.run(PrepareRecordings(recordings=os.environ["MFR_EEG_DIR"]), Path("recordings"))
    table = preprocess(PreprocessEeg(channels="common", montage="average", split="time"))
    assert table.status.tolist() == ["used"] and table.flat.tolist() == [2] and table.clipped.tolist() == [0]
    assert table.windows_kept.sum() > 940
    for path in OUTPUTS.values():
        with h5py.File(path) as file:
            assert len(json.loads(file.attrs["channels"])) == file["mean"].shape[1] == 30
            signals = microvolts(file["vectors"][:], file["mean"][:], file["deviation"][:])
        np.testing.assert_allclose(signals.mean(axis=1), 0, atol=1e-3)  # the average reference
        assert 3 < np.median(signals.std(axis=2)) < 30
