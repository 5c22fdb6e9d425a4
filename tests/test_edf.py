from fractions import Fraction

import edfio
import numpy as np
import pytest

from mfr.edf import TCP19, UnusableError, electrode, find, montage, read_header, read_signals, subject_of
from mfr.errors import UserError
from tests.edf_files import noise, write_edf

STEP_UV = 1600 / 65535


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("EEG FP1-REF", "FP1"),
        ("EEG FP1-LE", "FP1"),
        ("Fp1.", "FP1"),
        ("Fc5..", "FC5"),
        (" cz ", "CZ"),
        ("EEG T7-REF", "T3"),
        ("T8", "T4"),
        ("P7", "T5"),
        ("p8.", "T6"),
        ("EEG EKG1-REF", "EKG1"),
        ("EEG FP1-F7", "EEG FP1-F7"),
        ("PHOTIC-REF", "PHOTIC"),
    ],
)
def test_electrode(label, name):
    assert electrode(label) == name


def test_montage():
    assert montage("tcp19") == list(TCP19) and len(set(TCP19)) == 19
    assert montage(["T7", "c3"]) == ["T3", "C3"]
    with pytest.raises(UserError, match="T3 twice"):
        montage(["T7", "T3"])
    with pytest.raises(UserError, match="empty"):
        montage([])


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("edf/000/aaaaaaab/s001_2015/01_tcp_ar/aaaaaaab_s001_t000.edf", "aaaaaaab"),
        ("00000258_s003_t001.EDF", "00000258"),
        ("sub-07/ses-1/eeg/sub-07_ses-1_task-rest_eeg.edf", "sub-07"),
        ("sub-07_task-rest_eeg.edf", "sub-07"),
        ("data/sub-07_eeg.edf", "sub-07"),
        ("S001/S001R01.edf", "S001"),
        ("patient 3.edf", "patient 3"),
    ],
)
def test_subject_of(path, subject):
    assert subject_of(path) == subject


def test_signals_are_read_in_the_order_asked_for_and_in_microvolts(tmp_path):
    sent = {"EEG C3-REF": noise(12, seed=1), "EEG C4-REF": noise(12, seed=2)}
    path = write_edf(tmp_path / "a.edf", sent)
    header = read_header(path)
    signals = find(header, ["C4", "C3"])
    assert signals == [1, 0] and header.rate(0) == 256 and header.seconds == 12
    assert header.file_bytes == path.stat().st_size
    received = list(read_signals(path, header, signals))
    np.testing.assert_allclose(received, [sent["EEG C4-REF"], sent["EEG C3-REF"]], atol=STEP_UV)


def test_millivolts_become_microvolts(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)}, unit="mV")
    header = read_header(path)
    np.testing.assert_allclose(next(read_signals(path, header, [0])), 1000 * noise(10), atol=1000 * STEP_UV)


def test_channels_that_are_not_picked_do_not_change_the_rate(tmp_path):
    signals = {"EKG": noise(10, 512), "EEG C3-REF": noise(10, 256, seed=3), "IBI": noise(10, 1)}
    path = write_edf(tmp_path / "a.edf", signals, [512, 256, 1])
    header = read_header(path)
    assert header.rate(find(header, ["C3"])[0]) == 256
    np.testing.assert_allclose(next(read_signals(path, header, [1])), signals["EEG C3-REF"], atol=STEP_UV)


def test_records_of_broken_length_give_an_exact_rate(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    data = bytearray(path.read_bytes())
    data[244:252] = b"1.024   "
    path.write_bytes(data)
    assert read_header(path).rate(0) == Fraction(250)


def test_a_truncated_file_is_refused_to_the_byte(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UnusableError, match=f"cut short: {len(whole) - 1} of {len(whole)} bytes"):
        read_header(path)


def test_bytes_after_the_last_record_are_not_read(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    path.write_bytes(path.read_bytes() + bytes(2000))
    header = read_header(path)
    assert len(next(read_signals(path, header, [0]))) == 2560


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (252, b"abc "),
        (252, b"0   "),
        (236, b"-1      "),
        (244, b"0       "),
        (184, b"9999    "),
        (192, b"EDF+D"),
        (472, b"0       "),
    ],
)
def test_a_corrupt_header_is_refused(tmp_path, at, content):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)
    with pytest.raises(UnusableError, match="no valid EDF header"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"not an EDF file" * 100])
def test_what_is_no_edf_file_is_refused(tmp_path, content):
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    with pytest.raises(UnusableError, match="no valid EDF header"):
        read_header(path)


@pytest.mark.parametrize(("field", "reason"), [(b"garbage ", "could not convert"), (b"nan     ", "no numbers")])
def test_a_corrupt_physical_range_is_refused_when_read(tmp_path, field, reason):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    data = bytearray(path.read_bytes())
    data[256 + 104 : 256 + 112] = field
    path.write_bytes(data)
    with pytest.raises(UnusableError, match=reason):
        list(read_signals(path, read_header(path), [0]))


def test_an_annotation_that_is_not_utf8_does_no_harm(tmp_path):
    made = [edfio.EdfSignal(noise(10), 256, label="C3", physical_dimension="uV", physical_range=(-800, 800))]
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(1, None, "abcdef")]).write(tmp_path / "a.edf")
    data = (tmp_path / "a.edf").read_bytes()
    assert data.count(b"abcdef") == 1
    (tmp_path / "a.edf").write_bytes(data.replace(b"abcdef", b"ab\xe4def"))
    header = read_header(tmp_path / "a.edf")
    assert len(next(read_signals(tmp_path / "a.edf", header, find(header, ["C3"])))) == 2560


def test_reasons_for_channels(tmp_path):
    header = read_header(write_edf(tmp_path / "a.edf", {"EEG T3-REF": noise(10), "T7": noise(10), "C3": noise(10)}))
    with pytest.raises(UnusableError, match="missing electrodes: FP1, CZ"):
        find(header, ["C3", "FP1", "CZ"])
    with pytest.raises(UnusableError, match="found twice: T3"):
        find(header, ["T3"])
    header = read_header(write_edf(tmp_path / "b.edf", {"C3": noise(10), "C4": noise(10, 128)}, [256, 128]))
    with pytest.raises(UnusableError, match="different sampling rates"):
        find(header, ["C3", "C4"])
    header = read_header(write_edf(tmp_path / "c.edf", {"C3": noise(10)}, unit="nV"))
    with pytest.raises(UnusableError, match="'nV' is none of uV, mV, V"):
        find(header, ["C3"])
