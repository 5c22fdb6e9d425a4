"""Corpora of all kinds, good and bad."""

import json
import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UserError
from mfr.sources.eeg.electrodes import TCP19
from mfr.sources.eeg.split import SPLITS
from tests.support.recording_files import (
    noise,
    set_field,
    write_bdf,
    write_brainvision,
    write_edf,
    write_edf_by_hand,
    write_eeglab,
    write_fif,
    write_gdf,
)
from tests.support.recording_project import TWO, prepare, preprocess, project, record

__all__ = ["project"]  # the fixture


def test_what_cannot_be_used_is_skipped_with_its_reason_and_counted():
    for subject in "abc":
        record(f"{subject}/good.edf")
    cut = record("a/cut.edf")
    cut.write_bytes(cut.read_bytes()[:-100])
    Path("mine/b/text.edf").write_text("no recording")
    Path("mine/b/empty.edf").write_bytes(b"")
    broken = record("b/broken.edf")
    data = bytearray(broken.read_bytes())
    data[256 + 2 * 104 : 256 + 2 * 112] = b"?" * 16
    broken.write_bytes(data)
    write_edf(Path("mine/c/one.edf"), {"C3": noise(10)})
    write_edf(Path("mine/c/short.edf"), {"C3": noise(2), "C4": noise(2)})
    write_edf(Path("mine/d/slow.edf"), {"C3": noise(10, 80), "C4": noise(10, 80)}, 80)
    write_edf(Path("mine/c/flat.edf"), {"C3": noise(10), "C4": np.full(2560, 30.0)})
    half = noise(10)
    half[1280:] = 0
    write_edf(Path("mine/c/half.edf"), {"C3": noise(10), "C4": half})
    prepare()
    table = preprocess()
    expected = {
        "a/cut.edf": "cut short",
        "b/text.edf": "no valid EDF or BDF header",
        "b/empty.edf": "empty",
        "b/broken.edf": "no scale: EEG C3-REF: its physical minimum",
        "c/one.edf": "missing electrodes: C4",
        "c/short.edf": "too short",
        "d/slow.edf": "sampled too slowly: 80 Hz",
        "c/flat.edf": "constant: C4",
    }
    skipped = table[table.status == "skipped"]
    assert set(skipped.index) == set(expected) and (skipped.windows_kept == 0).all()
    for path, reason in expected.items():
        assert skipped.reason[path].startswith(reason)
    used = table[table.status == "used"]
    assert set(used.index) == {"a/good.edf", "b/good.edf", "c/good.edf", "c/half.edf"} and (used.reason == "").all()
    assert table.windows_dropped["c/flat.edf"] == table.flat["c/flat.edf"] == 40
    assert (table.windows_kept["c/half.edf"], table.windows_dropped["c/half.edf"], table.flat["c/half.edf"]) == (20, 20, 20)
    with h5py.File("train.h5") as file:
        assert (file.attrs["files_used"], file.attrs["files_skipped"]) == (4, 8)
    reasons = table.reason[table.status == "skipped"].str.split(":").str[0].value_counts().to_dict()
    assert reasons == dict.fromkeys(["cut short", "no scale", "empty", "missing electrodes", "too short", "constant"], 1) | {
        "no valid EDF or BDF header": 1,
        "sampled too slowly": 1,
    }
    windows = table[["windows_kept", "windows_dropped", "flat", "clipped", "noisy", "across"]].sum().tolist()
    assert windows == [140, 60, 60, 0, 0, 0]


def test_nothing_usable_names_the_reasons_and_writes_nothing():
    for name in ("a", "b"):
        Path(record(f"{name}/1.edf")).write_bytes(b"garbage")
    write_edf(Path("mine/c/1.edf"), {"O1": noise(10)})
    prepare()
    with pytest.raises(
        UserError, match=r"none of 3 recordings.*: 2 × no valid EDF or BDF header.*1 × missing electrodes: C3, C4"
    ):
        preprocess()
    assert not list(Path().glob("*.h5")) and not Path("table.csv").exists()


def of(path: Path) -> int:
    """A seed of the path's own, because identical recordings are refused."""
    return zlib.crc32(str(path).encode())


BAD = {
    "zero.edf": (
        lambda path: write_edf_by_hand(path, {"C3": noise(0), "C4": noise(0)}),
        "no valid EDF or BDF header: 0 data rec",
    ),
    "one.edf": (lambda path: write_edf_by_hand(path, {"C3": noise(1, 1), "C4": noise(1, 1)}, 1), "too short: 1 s"),
    "notes.edf": (lambda path: write_edf_by_hand(path, {"EDF Annotations": noise(10)}), "missing electrodes: C3, C4"),
    "twice.edf": (
        lambda path: write_edf_by_hand(path, {"C3": noise(10), "C3#2": noise(10), "C4": noise(10)}),
        "electrodes found twice: C3",
    ),
    "nan_raw.fif": (
        lambda path: write_fif(path, {"C3": noise(10, seed=of(path)), "C4": np.append(noise(10)[:-1], np.nan)}),
        "contains NaN or infinite values",
    ),
    "volts_raw.fif": (
        lambda path: write_fif(path, {"C3": 1e-6 * noise(10, seed=of(path)), "C4": 1e-6 * noise(10)}),
        "implausible amplitude: ",
    ),
}


def test_every_kind_of_bad_file_is_skipped_with_its_reason():
    for subject in "abc":
        record(f"{subject}/good.edf")
    for name, (write, _) in BAD.items():
        write(Path("mine/a", name))
    prepare()
    table = preprocess()
    assert (table.status == "used").sum() == 3
    for name, (_, reason) in BAD.items():
        assert table.reason[f"a/{name}"].startswith(reason)


@pytest.mark.parametrize("name", BAD)
def test_a_corpus_of_one_kind_of_bad_file_is_one_clear_line(name):
    write, reason = BAD[name]
    for subject in "abc":
        write(Path("mine", subject, name))
    prepare()
    with pytest.raises(UserError, match=rf"none of 3 recordings .*: [23] × {reason}"):
        preprocess()
    assert not list(Path().glob("*.h5"))


def test_recordings_of_every_format_together_and_their_common_electrodes():
    signals = {"Fp1": noise(10), "EEG T7-REF": noise(10, seed=1), "C3": noise(10, seed=2), "EKG": noise(10)}
    writers = [write_edf, write_bdf, write_gdf, write_brainvision, write_eeglab, write_fif]
    names = ["a.edf", "b.bdf", "c.gdf", "d.vhdr", "e.set", "f_raw.fif"]
    for write, name in zip(writers, names, strict=True):
        write(Path("mine", name), signals | {name: noise(10)})
    write_edf(Path("mine/g.edf"), {"C3": noise(10), "T3": noise(10, seed=3), "O1": noise(10), "PHOTIC": noise(10)})
    write_edf_by_hand(Path("mine/notes.edf"), {"EDF Annotations": noise(10)})
    Path("mine/empty.bdf").write_bytes(b"")
    prepare()
    table = preprocess(PreprocessEeg(channels="common", min_channels=2))
    assert set(table.index[table.status == "used"]) == {*names, "g.edf"}
    with h5py.File("train.h5") as file:
        assert json.loads(file.attrs["channels"]) == ["T3", "C3"]
    Path("mine/d.eeg").write_bytes(Path("mine/d.eeg").read_bytes() + b"..")
    with pytest.raises(UserError, match=r"d.eeg: has changed since prepare_recordings listed it"):
        preprocess()
    write_edf(Path("mine/h.edf"), {"O2": noise(10)})
    prepare()
    with pytest.raises(UserError, match=r"channels: common, but no electrode is in all of 8 recordings"):
        preprocess(PreprocessEeg(channels="common"))


def test_a_long_fif_recording_in_several_files_is_one():
    long = {"C3": noise(300, 1024), "C4": noise(300, 1024, seed=1)}
    write_fif(Path("mine/a/long_raw.fif"), long, 1024, split_size="2MB")
    for name in ("b", "c"):
        write_fif(Path("mine", name, "short_raw.fif"), {"C3": noise(10, seed=ord(name)), "C4": noise(10)})
    prepare()
    table = preprocess()
    assert table.windows_kept["a/long_raw.fif"] == 1200
    assert table.reason["a/long_raw-1.fif"] == "read with another file: a/long_raw.fif" and (table.status == "used").sum() == 3


def test_a_bipolar_montage_names_its_pairs():
    for subject in "abc":
        signals = {name: noise(10, seed=ord(subject) + 100 * n) for n, name in enumerate(TCP19)}
        write_edf(Path("mine") / f"{subject}.edf", signals)
    prepare()
    preprocess(PreprocessEeg(montage="tcp_bipolar"))
    with h5py.File("train.h5") as file:
        channels = json.loads(file.attrs["channels"])
        assert channels[:2] == ["FP1-F7", "F7-T3"] and len(channels) == file["mean"].shape[1] == 20
        assert file["vectors"].shape[1] == 20 * 32


def test_one_name_is_one_subject_in_all_folders_unless_a_pattern_says_otherwise():
    for site in ("site1", "site2"):
        for subject in ("sub-01", "sub-02", "sub-03"):
            record(f"{site}/{subject}/eeg/{subject}_task-rest_eeg.edf")
    record("site2/other.edf")
    prepare()
    table = preprocess()
    assert set(table.subject) == {"sub-01", "sub-02", "sub-03", "site2"}
    assert (table.groupby("subject").split.nunique() == 1).all()
    table = preprocess(TWO.model_copy(update={"subject_pattern": r"^(.*/sub-\d+)/"}))
    assert table.subject[table.status == "used"].nunique() == 6
    assert table.reason["site2/other.edf"].startswith("no subject: preprocess_eeg.subject_pattern does not match")


def test_a_split_by_time_serves_for_one_subject():
    record("a/1.edf", seconds=60)
    prepare()
    table = preprocess(TWO.model_copy(update={"split": "time", "window_s": 0.5}))
    assert table.split.tolist() == ["time"] and table.across.tolist() == [2] and table.windows_kept.tolist() == [237]
    ends = []
    for split in SPLITS:
        with h5py.File(f"{split}.h5") as file:
            ends += [file["start_s"][0], file["start_s"][-1] + 0.5]
    assert ends == sorted(ends) and (ends[0], ends[-1]) == (0, 60)


def test_a_file_that_stops_its_reader_stops_no_other():
    for subject in "abc":
        record(f"{subject}/good.edf")
    Path("mine/a/huge.gdf").write_bytes(b"GDF 1.25" + b"\xff" * 5000)  # 4 billion channels
    write_edf(Path("mine/b/endless.edf"), {"C3": noise(10), "C4": noise(10)})
    set_field(Path("mine/b/endless.edf"), "duration", b"1e999")
    path = write_brainvision(Path("mine/c/pipe.vhdr"), {"C3": noise(10), "C4": noise(10)})
    path.with_suffix(".eeg").unlink()
    os.mkfifo(path.with_suffix(".eeg"))
    prepare()
    table = preprocess()
    assert (table.status == "used").sum() == 3
    for name, reason in (
        ("a/huge.gdf", "needs too much memory: more than 3.0 GiB"),
        ("b/endless.edf", "no valid EDF or BDF header: its data records have a length of '1e999' s"),
        ("c/pipe.vhdr", "not a file: a folder, pipe or device"),
    ):
        assert table.reason[name] == reason
