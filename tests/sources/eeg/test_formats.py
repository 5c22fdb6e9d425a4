import gzip
import os
import warnings
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.formats import _Mne, find, read_contents, reader, unit_of
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

STEP_UV = 1600 / 65535
SENT = {"EEG C3-REF": noise(12, seed=1), "EOG1": noise(12, seed=2), "Fp1": noise(12, seed=3), "T7": noise(12, seed=4)}
WRITERS = {
    "a.edf": write_edf,
    "a.bdf": write_bdf,
    "a.gdf": write_gdf,
    "a.vhdr": write_brainvision,
    "a.set": write_eeglab,
    "apart.set": lambda path, signals: write_eeglab(path, signals, apart=True),
    "a_raw.fif": write_fif,
    "a_raw.fif.gz": write_fif,
}
# What has to be cut for a recording to be cut short, if it is not the file itself.
SAMPLES = {"a.vhdr": "a.eeg", "apart.set": "apart.fdt"}


def read_all(path: Path, electrodes: list[str]) -> np.ndarray:
    contents = read_contents(path)
    channels = find(contents, electrodes)
    return reader(path, contents, channels)(0, contents.samples[channels[0]])


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_read_in_microvolts_in_the_order_asked_for_and_in_parts(tmp_path, name):
    path = WRITERS[name](tmp_path / name, SENT)
    contents = read_contents(path)
    channels = find(contents, ["T3", "C3"])
    assert {contents.rates[i] for i in channels} == {256} and {contents.samples[i] for i in channels} == {3072}
    assert contents.seconds == 12
    assert {file.name for file in contents.files} == {name, SAMPLES.get(name, name)}
    read = reader(path, contents, channels)
    expected = np.stack([SENT["T7"], SENT["EEG C3-REF"]])
    np.testing.assert_allclose(read(0, 3072), expected, atol=0.03)
    np.testing.assert_array_equal(read(700, 2000), read(0, 3072)[:, 700:2000])


def test_channels_that_fif_calls_no_eeg_are_left_out(tmp_path):
    assert read_contents(write_fif(tmp_path / "a_raw.fif", SENT)).labels == ["EEG C3-REF", "Fp1", "T7"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0, 0.002, 0.1, 0.5, 0.9, "-1"])
def test_a_recording_that_is_cut_short_is_refused(tmp_path, name, share):
    path = WRITERS[name](tmp_path / name, SENT)
    cut = tmp_path / SAMPLES.get(name, name)
    whole = cut.read_bytes()
    # GDF and FIF end with tables that are not needed; EEGLAB's samples are apart or compressed.
    spare = {"a.gdf": 9, "a_raw.fif": 2000, "a_raw.fif.gz": 2000}.get(name, 1)
    cut.write_bytes(whole[:-spare] if share == "-1" else whole[: int(len(whole) * share)])
    with pytest.raises(UnusableError, match=r"cut short|not read with certainty: |cannot be read|no valid EDF|empty: "):
        read_all(path, ["C3", "T3"])


@pytest.mark.parametrize("name", WRITERS)
def test_garbage_is_refused(tmp_path, name):
    random = np.random.default_rng(0)
    for content in (b"not a recording" * 1000, random.bytes(5000), gzip.compress(b"no recording")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableError, match=r"cannot be read|no valid EDF or BDF header"):
            read_all(tmp_path / name, ["C3", "T3"])


# Not EEGLAB: scipy's reader of MATLAB files crashes the process on some.
@pytest.mark.parametrize("name", ["a.edf", "a.bdf", "a.gdf", "a.vhdr", "a_raw.fif", "a_raw.fif.gz"])
def test_bytes_that_were_overwritten_give_a_reason_or_samples(tmp_path, name):
    whole = bytearray(WRITERS[name](tmp_path / name, SENT).read_bytes())
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        data = whole.copy()
        for at in random.integers(0, min(len(whole), 2500), size=8):
            data[at] = random.integers(256)
        (tmp_path / name).write_bytes(data)
        try:
            assert read_all(tmp_path / name, ["C3", "T3"]).shape[0] == 2
        except UnusableError:
            refused += 1
    assert refused > 10


def test_a_long_fif_recording_names_the_files_that_go_on(tmp_path):
    signals = {name: noise(60, 1024, seed) for seed, name in enumerate(["C3", "C4", "T7", "O1", "O2", "P3", "P4", "FZ", "CZ"])}
    path = write_fif(tmp_path / "long_raw.fif", signals, 1024, split_size="2MB")
    assert [file.name for file in read_contents(path).files] == ["long_raw.fif", "long_raw-1.fif", "long_raw-2.fif"]
    np.testing.assert_allclose(read_all(path, ["T3"])[0], signals["T7"], atol=1e-3)


def test_millivolts_become_microvolts(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)}, unit="mV")
    np.testing.assert_allclose(read_all(path, ["C3"])[0], 1000 * noise(10), atol=1000 * STEP_UV)


def test_channels_that_are_not_picked_do_not_change_the_rate(tmp_path):
    signals = {"EKG": noise(10, 512), "EEG C3-REF": noise(10, 256, seed=3), "IBI": noise(10, 1)}
    path = write_edf(tmp_path / "a.edf", signals, [512, 256, 1])
    assert read_contents(path).rates == [512, 256, 1]
    np.testing.assert_allclose(read_all(path, ["C3"])[0], signals["EEG C3-REF"], atol=STEP_UV)


def test_bytes_after_the_last_record_are_not_read(tmp_path):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10)})
    path.write_bytes(path.read_bytes() + bytes(2000))
    assert read_all(path, ["C3"]).shape == (1, 2560)


@pytest.mark.parametrize("field", [b"garbage", b"nan", b"1e999"])
def test_a_studied_channel_needs_a_scale_and_no_other_does(tmp_path, field):
    path = write_edf(tmp_path / "a.edf", {"C3": noise(10), "C4": noise(10)})
    set_field(path, "physical minimum", field)
    assert read_all(path, ["C4"]).shape == (1, 2560)
    with pytest.raises(UnusableError, match=f"no scale: C3: its physical minimum is '{field.decode()}', not a number"):
        read_all(path, ["C3"])


@pytest.mark.parametrize("write", [write_edf, write_bdf])
def test_samples_are_to_the_last_bit_those_of_mne(tmp_path, write):
    path = write(tmp_path / f"a.{write.__name__[-3:]}", {"C3": noise(10), "C4": noise(10, seed=1), "T3": noise(10, seed=2)})
    for name, value in (("physical minimum", b"-123.457"), ("physical maximum", b"98.7654"), ("unit", b"mV")):
        set_field(path, name, value)
    set_field(path, "physical minimum", b"812.3", 1)  # inverted
    contents = read_contents(path)
    channels = find(contents, ["T3", "C4", "C3"])
    raw = mne.io.read_raw(path, verbose="ERROR")
    for first, last in ((0, 2560), (100, 2441), (256, 512), (300, 301)):
        expected = raw.get_data(picks=channels, start=first, stop=last) * 1e6
        np.testing.assert_array_equal(reader(path, contents, channels)(first, last), expected)


def test_a_24_bit_header_decides_over_the_ending(tmp_path):
    path = write_bdf(tmp_path / "a.edf", {"C3": noise(10)})
    np.testing.assert_allclose(read_all(path, ["C3"])[0], noise(10), atol=0.01)
    path = write_edf(tmp_path / "a.bdf", {"C3": noise(10)})
    np.testing.assert_allclose(read_all(path, ["C3"])[0], noise(10), atol=STEP_UV)


def test_what_stands_for_a_recording_is_named(tmp_path):
    for name in WRITERS:
        for content, reason in (
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                r"a Git LFS pointer, not the recording: fetch it \(`git lfs pull`\)",
            ),
            (b"../.git/annex/objects/Xx/Yy/key/key", "a git-annex pointer, not the recording: fetch it .*"),
            (b"<html><title>404", "a web page, not the recording: download it again"),
            (b"", "empty: the file has 0 bytes"),
        ):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UnusableError, match=f"^{reason}$"):
                read_contents(tmp_path / name)


def test_a_missing_companion_is_named(tmp_path):
    for ending, key in ((".eeg", "DataFile"), (".vmrk", "MarkerFile")):
        path = write_brainvision(tmp_path / "a.vhdr", SENT)
        path.with_suffix(ending).unlink()
        with pytest.raises(UnusableError, match=f"missing file: a{ending}, which a.vhdr names as its {key}"):
            read_contents(path)
    write_eeglab(tmp_path / "b.set", SENT, apart=True)
    (tmp_path / "b.fdt").rename(tmp_path / "c.fdt")
    with pytest.raises(UnusableError, match=r"missing file: b\.fdt, which b\.set needs"):
        read_contents(tmp_path / "b.set")
    path = write_brainvision(tmp_path / "a.vhdr", SENT)
    path.with_suffix(".eeg").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UnusableError, match="a Git LFS pointer, not the recording"):
        read_contents(path)


def test_a_pipe_or_a_folder_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.edf")
    (tmp_path / "b.fif").mkdir()
    for name in ("a.edf", "b.fif"):
        with pytest.raises(UnusableError, match="not a file: a folder, pipe or device"):
            read_contents(tmp_path / name)
    with pytest.raises(UnusableError, match="cannot be read: No such file"):
        read_contents(tmp_path / "c.edf")


@pytest.mark.parametrize(
    "unit", ["uV", "µV", "μV", "uv", "UV", "microV", "microvolt", "Microvolts", "\xc2\xb5V", "\xce\xbcV", "\x83\xcaV"]
)
def test_spellings_of_microvolts(unit):
    assert unit_of(unit) == "uV"
    assert [unit_of(text) for text in ("mV", "millivolt", "V", "volts", "nV", "", "%")] == ["mV", "mV", "V", "V", "nV", "", "%"]


def test_warnings_of_mne_that_matter_are_reasons_and_unknown_ones_are_shown(tmp_path, capsys):
    path = write_gdf(tmp_path / "a.gdf", SENT)
    read_contents(path)
    assert capsys.readouterr().err == ""
    for text in ("FIF raw buffer could not be read: 9 samples set to zero", "Physical range is not defined", "Unit is guessed"):
        with pytest.raises(UnusableError, match=f"not read with certainty: {text}"), _Mne(path):
            warnings.warn(f"{text}. More.", RuntimeWarning, stacklevel=1)
    for text in ("Something odd", "The data contains 'boundary' events, indicating data discontinuities"):
        with _Mne(path, report=True):
            warnings.warn(f"{text}. More.", RuntimeWarning, stacklevel=1)
            warnings.warn("no longer supported", DeprecationWarning, stacklevel=1)
        assert capsys.readouterr().err == f"warning: {path}: {text}\n"
    path = write_fif(tmp_path / "eeg.fif", SENT)  # a name against MNE's convention
    assert len(read_contents(path).labels) == 3
    assert capsys.readouterr().err == ""


def test_nan_is_refused(tmp_path):
    signal = noise(10)
    signal[1000] = np.nan
    with pytest.raises(UnusableError, match="contains NaN or infinite values"):
        read_all(write_fif(tmp_path / "a_raw.fif", {"C3": signal}), ["C3"])


def test_an_annotation_that_is_not_utf8_does_no_harm(tmp_path):
    made = [edfio.EdfSignal(noise(10), 256, label="C3", physical_dimension="uV", physical_range=(-800, 800))]
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(1, None, "abcdef")]).write(tmp_path / "a.edf")
    data = (tmp_path / "a.edf").read_bytes()
    assert data.count(b"abcdef") == 1
    (tmp_path / "a.edf").write_bytes(data.replace(b"abcdef", b"ab\xe4def"))
    assert read_all(tmp_path / "a.edf", ["C3"]).shape == (1, 2560)


def test_reasons_for_channels(tmp_path):
    contents = read_contents(write_edf(tmp_path / "a.edf", {"EEG T3-REF": noise(10), "T7": noise(10), "C3": noise(10)}))
    with pytest.raises(UnusableError, match="missing electrodes: FP1, CZ"):
        find(contents, ["C3", "FP1", "CZ"])
    with pytest.raises(UnusableError, match="found twice: T3"):
        find(contents, ["T3"])
    contents = read_contents(
        write_edf_by_hand(tmp_path / "b.edf", {"C3": noise(10), "C3#": noise(10, seed=1), "O1": noise(10)})
    )
    with pytest.raises(UnusableError, match="found twice: C3"):
        find(contents, ["C3"])
    contents = read_contents(write_edf(tmp_path / "c.edf", {"C3": noise(10), "C4": noise(10, 128)}, [256, 128]))
    with pytest.raises(UnusableError, match="different sampling rates"):
        find(contents, ["C3", "C4"])
    contents = read_contents(write_edf(tmp_path / "d.edf", {"C3": noise(10)}, unit="nV"))
    with pytest.raises(UnusableError, match="'nV' is not uV, mV or V"):
        find(contents, ["C3"])
