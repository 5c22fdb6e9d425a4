from pathlib import Path

import pytest

from mfr.runtime import paths

RUN = ("eeg", "mfr", 0)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (paths.saes(*RUN), "train"),
        (paths.saes_card(*RUN), "train"),
        (paths.curves(*RUN), "train"),
        (paths.evaluation(*RUN), "evaluate"),
        (paths.features(*RUN), "evaluate"),
        (paths.activity(*RUN), "evaluate"),
        (paths.denoising("mfr", 0), "denoise"),
        (paths.export(*RUN), "export"),
        (paths.description(*RUN), "describe"),
        (paths.metrics("eeg"), "compare"),
        (paths.result("eeg", "summary.csv"), "compare"),
        (paths.MODEL / "manifest.json", "prepare_model"),
        (paths.RECORDINGS / "manifest.json", "prepare_recordings"),
    ],
)
def test_the_stage_that_makes_a_missing_file_is_known(path: Path, stage: str) -> None:
    assert paths.maker(path) == stage


def test_a_home_is_expanded_and_that_of_nobody_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.expanded("~/eeg") == Path("/home/me/eeg")
    assert paths.expanded("~no_such_user/eeg") == Path("~no_such_user/eeg")
