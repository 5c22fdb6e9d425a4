"""Odd and damaged files: each is used, converted or skipped, with its reason in the table."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfr.config.eeg import PreprocessEeg
from tests.conftest import ROOT
from tests.support.recording_files import pink, set_field, write_edf_plus
from tests.support.recording_project import prepare, preprocess, project

__all__ = ["project"]  # the fixture

BESIDE = [ROOT.parent / "shared", *Path(os.environ.get("MFR_EEG_DIR", "/nowhere")).parents]
ODDITIES = next((folder / "oddities" for folder in BESIDE if (folder / "oddities").is_dir()), None)
USED = {
    **{name: 20 for name in ("plain_5s", "records_unknown_minus1", "nul_padded_header", "decimal_comma")},
    **{name: 20 for name in ("unit_micro_latin1", "unit_micro_utf8", "label_latin1_byte")},
    **{name: 20 for name in ("startdate_invalid", "startdate_2digit_x")},
    "clipped_channel": 10,
}
SKIPPED = {
    "cut_short_mid_record": "cut short: 106458 of 111458 bytes",
    "header_says_fewer_records": "longer than its header says: 111458 instead of 69230 bytes",
    "header_bytes_wrong": "no valid EDF or BDF header: its length is given as 256 bytes, but 22 signals need 5888",
    "dig_min_equals_max": "no scale: EEG F7: its digital minimum equals its maximum",
    "phys_min_equals_max": "no scale: EEG F7: its physical minimum equals its maximum",
    "dig_min_above_max": "no scale: EEG F7: its digital minimum is above its maximum",
    "dig_max_blank": "no scale: EEG F7: its digital maximum is '', not a number",
    "unit_missing": "unknown unit: '' is not uV, mV or V",
    "unit_says_V_values_uV": "implausible amplitude: 3.67e+06 µV",
    # Its samples are those of plain_5s.edf, so that they are of 3.7 mV by its unit.
    "unit_says_mV": "implausible amplitude: 3.67e+03 µV",
    "flat_channel": "constant: F4",
    "git_lfs_pointer": "a Git LFS pointer, not the recording: fetch it",
    "S001R01_first20s_crlf_same_length": "damaged by a copy as text",
    "eegmat_Subject33_1_official_first500kB": "cut short: 500000 of 3848636 bytes",
}


HEADER = 1280  # bytes, of the files that are made here


def table_of(**parameters: object) -> pd.DataFrame:
    """The table of recordings, by the names of their folders."""
    table = preprocess(PreprocessEeg.model_validate({"split": "time"} | parameters))
    return table.set_index(table.index.map(lambda path: Path(path).parts[0]))


def check(table: pd.DataFrame, used: dict[str, int], skipped: dict[str, str]) -> None:
    assert set(table.index) == {*used, *skipped}
    for name, kept in used.items():
        assert (table.status[name], table.windows_kept[name]) == ("used", kept), (name, table.reason[name])
    for name, reason in skipped.items():
        assert table.status[name] == "skipped" and table.reason[name].startswith(reason), (name, table.reason[name])


@pytest.mark.skipif(ODDITIES is None, reason="no folder of oddities beside the project")
def test_every_odd_file_ends_as_it_should():
    for path in ODDITIES.glob("*.edf"):
        Path("mine", path.stem).mkdir(parents=True)
        shutil.copy(path, Path("mine", path.stem))
    prepare()
    check(table_of(), USED, SKIPPED)
    stated = table_of(unit="uV")
    for name, factor in (("unit_missing", 1), ("unit_says_V_values_uV", 1e-6), ("unit_says_mV", 1e-3), ("plain_5s", 1)):
        assert (stated.status[name], stated.multiplied_by[name], stated.windows_kept[name]) == ("used", factor, 20)
    corrected = table_of(wrong_units="correct")
    newly = set(corrected.index[corrected.status == "used"]) - set(USED)
    assert newly == {"unit_says_V_values_uV", "unit_says_mV"}


def field(name: str, *contents: bytes) -> Callable[[Path], None]:
    """Overwrites a header field of the first signals."""

    def change(path: Path) -> None:
        for signal, content in enumerate(contents):
            set_field(path, name, content, signal)

    return change


def fields(**contents: bytes) -> Callable[[Path], None]:
    """Overwrites header fields of the first two signals."""

    def change(path: Path) -> None:
        for name, content in contents.items():
            field(name.replace("_", " "), content, content)(path)

    return change


def rewrite(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(edit(path.read_bytes())) and None


def as_crlf(data: bytes) -> bytes:
    """What a copy in text mode gives, cut to the same length."""
    return data.replace(b"\n", b"\r\n")[: len(data)]


def as_utf8(data: bytes) -> bytes:
    """What a program for text gives that replaces each byte that is not UTF-8 by a space."""
    return data[:HEADER] + data[HEADER:].decode("utf-8", "surrogateescape").encode("utf-8", "replace").replace(b"?", b" ")


def with_nul(data: bytes) -> bytes:
    return data[:HEADER].replace(b"  ", b"\0\0").replace(b" \0", b"\0\0").replace(b"\0 ", b"\0\0") + data[HEADER:]


def shifted(data: bytes) -> bytes:
    """Half of the records, then a byte too many."""
    return data[: len(data) // 2] + b"x" + data[len(data) // 2 : -1]


def beyond(data: bytes) -> bytes:
    """One value of the first channel far outside its digital range."""
    return data[:HEADER] + np.int16(20000).tobytes() + data[HEADER + 2 :]


MADE_USED = {
    "plain": lambda path: None,
    "minus_one": field("records", b"-1"),
    "nul": rewrite(with_nul),
    "comma": fields(duration=b"1,0", physical_minimum=b"-800,0"),
    "millivolts": fields(physical_minimum=b"-0.8", physical_maximum=b"0.8", unit=b"mV"),
    "inverted": fields(physical_minimum=b"800", physical_maximum=b"-800"),
    "latin1": field("unit", b"\xb5V", b"\xb5V"),
    "utf8": field("unit", "µV".encode(), "μV".encode()),
    "shift_jis": field("unit", "μV".encode("shift-jis"), b"uv"),
    "words": field("unit", b"microV", b"UV"),
    "label": field("label", b"C3", b"C4", b"Oreille\xe9"),
    "date": field("start", b"00.00.0000.00.00"),
    "no_date": field("start", b"xx.xx.xx24.00.00"),
    "padded": rewrite(lambda data: data + bytes(512)),
}
MADE_SKIPPED = {
    "cut": (rewrite(lambda data: data[:-700]), "cut short"),
    "longer": (field("records", b"7"), "longer than its header says: "),
    "appended": (rewrite(lambda data: data + b"x"), "longer than its header says: "),
    "header": (
        field("header", b"256"),
        "no valid EDF or BDF header: its length is given as 256 bytes, but 4 signals need 1280",
    ),
    "digital_equal": (field("digital minimum", b"8191"), "no scale: C3: its digital minimum equals its maximum"),
    "digital_above": (field("digital minimum", b"-8192", b"9000"), "no scale: C4: its digital minimum is above its maximum"),
    "digital_wide": (field("digital maximum", b"65535"), "no scale: C3: its digital range (-8192 to 65535) exceeds 16 bits"),
    "blank": (field("digital maximum", b""), "no scale: C3: its digital maximum is '', not a number"),
    "physical_equal": (field("physical maximum", b"-800"), "no scale: C3: its physical minimum equals its maximum"),
    "physical_text": (field("physical maximum", b"many"), "no scale: C3: its physical maximum is 'many', not a number"),
    "no_unit": (field("unit", b"", b""), "unknown unit: ''"),
    "volts": (field("unit", b"V", b"V"), "implausible amplitude: "),
    "flat": (lambda path: None, "constant: C4"),
    "pointer": (
        rewrite(lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        "a Git LFS pointer, not the",
    ),
    "page": (rewrite(lambda _: b"\n<!DOCTYPE html><html>"), "a web page, not the recording: download it again"),
    "crlf": (rewrite(as_crlf), "damaged by a copy as text"),
    "as_utf8": (rewrite(as_utf8), "damaged by a copy as text"),
    "shifted": (rewrite(shifted), "damaged: 6 of 10 data records have no time stamp"),
    "beyond": (rewrite(beyond), "values outside the digital range: C3 has "),
}


def test_own_files_of_each_kind_end_as_they_should():
    for name in (*MADE_USED, *MADE_SKIPPED, "clipped"):
        signals = {"C3": pink(10), "C4": pink(10, seed=1), "A1": pink(10, seed=2)}
        if name == "flat":
            signals["C4"][:] = 5.0
        elif name == "clipped":
            signals["C4"][:1280] = signals["C4"][:1280].clip(-10, 10)
            signals["C4"][1280:] = signals["C4"][1280:].clip(-9.5, 9.5)
        path = write_edf_plus(Path("mine", name, "1.edf"), signals)
        change = MADE_USED.get(name) or MADE_SKIPPED.get(name, (None, ""))[0]
        if change:
            change(path)
    prepare()
    table = table_of(channels=["C3", "C4"])
    assert table.status["clipped"] == "used" and 5 < table.clipped["clipped"] < 21
    check(table.drop("clipped"), dict.fromkeys(MADE_USED, 40), {name: reason for name, (_, reason) in MADE_SKIPPED.items()})
    assert (table.multiplied_by == 1).all()
    stated = table_of(channels=["C3", "C4"], unit="uV")
    assert {name: stated.multiplied_by[name] for name in ("no_unit", "volts", "millivolts", "plain")} == {
        **{"no_unit": 1, "volts": 1e-6, "millivolts": 1, "plain": 1},
    }
    corrected = table_of(channels=["C3", "C4"], wrong_units="correct")
    for changed, more in ((stated, {"no_unit", "volts"}), (corrected, {"volts"})):
        assert set(changed.index[changed.status == "used"]) == {*MADE_USED, "clipped"} | more
