import pytest

from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.subjects import is_by_file, subject_of


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
        ("S7_raw.fif.gz", "S7_raw"),
        ("site1/sub-01/eeg/sub-01_task-rest_eeg.vhdr", "sub-01"),
        ("site2/sub-01/eeg/sub-01_task-rest_eeg.vhdr", "sub-01"),
    ],
)
def test_subject_of(path, subject):
    assert subject_of(path) == subject


@pytest.mark.parametrize(
    ("path", "by_file"),
    [
        ("patient1_session2.edf", True),
        ("S7_raw.fif.gz", True),
        ("patient1/session2.edf", False),
        ("sub-07_task-rest_eeg.edf", False),
        ("00000258_s003_t001.EDF", False),
    ],
)
def test_whether_the_files_own_name_is_taken(path, by_file):
    assert is_by_file(path) == by_file


@pytest.mark.parametrize(
    ("path", "subject"),
    [("site1/sub-01/a.edf", "site1/sub-01"), ("x/site2/sub-01/a.edf", "site2/sub-01"), ("site1/a.edf", None)],
)
def test_a_pattern_replaces_the_rule(path, subject):
    pattern = r"(site\d/sub-\w+)/"
    if subject:
        assert subject_of(path, pattern) == subject
        return
    with pytest.raises(UnusableError, match=r"no subject: .*subject_pattern does not match; its path is site1/a.edf"):
        subject_of(path, pattern)
