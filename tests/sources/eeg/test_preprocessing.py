from pathlib import Path

import numpy as np
import pytest

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError
from mfr.runtime.resume import Parts
from mfr.sources.eeg import preprocessing
from mfr.sources.eeg import signals as eeg
from mfr.sources.eeg.formats import find, read_contents
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.preprocessing import Job, Outcome, columns, convert, is_converted, outcome_of, sha256_of, skip
from mfr.sources.eeg.signals import microvolts
from tests.support.recording_files import noise, pink, write_edf, write_fif

SECONDS = 120


def converted(path: Path, parameters: PreprocessEeg, kind: str = "referential") -> tuple[Outcome, dict[str, np.ndarray]]:
    """A recording's outcome, and the columns of all windows that are kept."""
    montage = Montage(["C3", "C4"] if kind != "tcp_bipolar" else ["C3", "CZ", "C4"], kind)
    contents = read_contents(path)
    job = Job(path, contents, find(contents, montage.electrodes), montage, parameters)
    parts = Parts(path.with_suffix(".parts"), repr(parameters) + kind)
    convert(job, parts)
    assert job.name in parts
    outcome = outcome_of(job, parts)
    if outcome.skipped:
        return outcome, {}
    blocks = list(columns(job, outcome, outcome.verdicts == 0, parts))
    return outcome, {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def signals(seed: int = 0) -> dict[str, np.ndarray]:
    drift = 30 * np.sin(np.arange(256 * SECONDS) / 3000)
    return {
        "C3": noise(SECONDS, seed=seed) + drift,
        "CZ": noise(SECONDS, seed=seed + 1),
        "C4": 2 * noise(SECONDS, seed=seed + 2),
    }


def flip(piece: Path) -> None:
    content = piece.read_bytes()
    piece.write_bytes(content[:-50] + bytes([content[-50] ^ 1]) + content[-49:])


def test_a_recording_with_a_damaged_piece_is_converted_again(tmp_path):
    path, montage, parameters = write_edf(tmp_path / "a.edf", signals()), Montage(["C3", "C4"], "referential"), PreprocessEeg()
    contents = read_contents(path)
    job, parts = Job(path, contents, find(contents, montage.electrodes), montage, parameters), Parts(tmp_path / "parts", "key")
    assert not is_converted(job, parts)
    convert(job, parts)
    pieces = {piece: piece.read_bytes() for piece in (tmp_path / "parts").glob("*.part")}
    assert is_converted(job, parts) and len(pieces) == 2
    for piece in pieces:
        flip(piece)
        assert not is_converted(job, parts)
        convert(job, parts)
        assert is_converted(job, parts) and {piece: piece.read_bytes() for piece in pieces} == pieces


STANDARDISATIONS = ["window_channel", "recording_channel", "recording_robust", "none"]


@pytest.mark.parametrize("standardise", STANDARDISATIONS)
def test_standardising_and_the_way_back(tmp_path, standardise):
    sent = signals()
    sent["C4"][5000:5400] = 12.5
    path = write_edf(tmp_path / "a.edf", sent)
    _, plain = converted(path, PreprocessEeg(standardise="none", window_s=0.5, step_s=0.5))
    outcome, found = converted(path, PreprocessEeg(standardise=standardise, window_s=0.5, step_s=0.5))
    assert outcome.dropped == {"flat": 2, "clipped": 0, "noisy": 0}
    rows = plain["vectors"].reshape(-1, 2, 64).astype(float)
    every = rows.transpose(1, 0, 2).reshape(2, -1)
    low, middle, high = np.percentile(every, [25, 50, 75], axis=1)[:, None, :, None]
    expected = {
        "none": rows,
        "recording_channel": (rows - every.mean(1)[:, None]) / every.std(1)[:, None],
        "window_channel": (rows - rows.mean(2, keepdims=True)) / rows.std(2, keepdims=True),
        "recording_robust": (rows - middle) / ((high - low) / 1.349),
    }[standardise]
    assert len(rows) == 2 * SECONDS - 2 and found["vectors"].dtype == np.float32
    np.testing.assert_allclose(found["vectors"].reshape(rows.shape), expected, atol=2e-4)
    np.testing.assert_allclose(microvolts(found["vectors"], found["mean"], found["deviation"]), rows, atol=1e-4)
    assert not np.isin(found["start_s"], [20.0, 20.5]).any() and found["start_s"][-1] == SECONDS - 0.5


@pytest.mark.parametrize(
    ("standardise", "step_s"),
    [("window_channel", 0.1), ("recording_channel", 0.25), ("recording_robust", 0.125), ("recording_robust", 1.0)],
)
def test_many_blocks_give_what_one_gives(tmp_path, monkeypatch, standardise, step_s):
    path = write_edf(tmp_path / "a.edf", signals())
    parameters = PreprocessEeg(standardise=standardise, step_s=step_s, window_s=0.25)
    _, whole = converted(path, parameters)
    monkeypatch.setattr(eeg, "VALUES_A_BLOCK", 1000)
    outcome, found = converted(path.rename(tmp_path / "b.edf"), parameters)
    assert len(list((tmp_path / "b.parts").glob("*-*"))) > 5
    assert len(found["vectors"]) == len(outcome.verdicts)
    for name, values in whole.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


def test_the_robust_measures_of_a_long_recording_are_of_evenly_spread_samples(tmp_path, monkeypatch):
    path = write_edf(tmp_path / "a.edf", signals())
    parameters = PreprocessEeg(standardise="recording_robust")
    _, every = converted(path, parameters)
    monkeypatch.setattr(preprocessing, "SAMPLED", 3000)
    _, some = converted(path.rename(tmp_path / "b.edf"), parameters)
    assert not np.array_equal(some["deviation"], every["deviation"])
    np.testing.assert_allclose(some["deviation"], every["deviation"], rtol=0.1)


def test_montages(tmp_path):
    sent = signals()
    path = write_edf(tmp_path / "a.edf", sent)
    parameters = PreprocessEeg(standardise="none")
    [c3, c4] = converted(path, parameters)[1]["vectors"].reshape(-1, 2, 32).transpose(1, 0, 2)
    average = converted(path, parameters, "average")[1]["vectors"].reshape(-1, 2, 32)
    np.testing.assert_allclose(average[:, 0], (c3 - c4) / 2, atol=1e-4)
    write_edf(tmp_path / "b.edf", {"C3": sent["C3"] - sent["CZ"], "C4": sent["CZ"] - sent["C4"]})
    pairs = converted(tmp_path / "b.edf", parameters)[1]["vectors"]
    bipolar = converted(path, parameters, "tcp_bipolar")[1]["vectors"]
    np.testing.assert_allclose(bipolar, pairs, atol=0.1)


def test_a_lead_that_is_off_is_looked_for_before_the_montage_hides_it(tmp_path):
    sent = signals()
    sent["C4"][2560:5120] = 3.0
    path = write_edf(tmp_path / "a.edf", sent)
    for kind in ("referential", "average", "tcp_bipolar"):
        outcome, _ = converted(path, PreprocessEeg(), kind)
        assert outcome.dropped["flat"] == 40 and (outcome.verdicts[40:80] == 1).all()


def test_bridged_electrodes_leave_a_flat_pair(tmp_path):
    sent = signals()
    sent["CZ"] = sent["C3"]
    outcome, _ = converted(write_edf(tmp_path / "a.edf", sent), PreprocessEeg(), "tcp_bipolar")
    assert outcome.skipped == "no window is kept: 480 flat"


def test_clipped_and_noisy_windows_are_counted(tmp_path):
    sent = signals()
    sent["C3"] = sent["C3"].clip(-np.inf, 60)
    sent["C3"][2560:2580] = 60
    sent["C4"][12800:12900] += 5000 * np.hanning(100)
    path = write_fif(tmp_path / "a_raw.fif", sent)
    outcome, found = converted(path, PreprocessEeg())
    assert outcome.dropped["clipped"] >= 1 and outcome.verdicts[40] == 2
    assert outcome.verdicts[200] == 3 and 1 <= outcome.dropped["noisy"] < 6
    assert len(found["vectors"]) == 480 - sum(outcome.dropped.values())


@pytest.mark.parametrize("standardise", STANDARDISATIONS)
def test_wrong_units_are_refused_or_corrected(tmp_path, standardise):
    sent = {name: pink(SECONDS, seed=seed) for seed, name in enumerate(["C3", "C4"])}
    parameters = PreprocessEeg(standardise=standardise)
    _, right = converted(write_fif(tmp_path / "a_raw.fif", sent), parameters)
    volts = write_fif(tmp_path / "b_raw.fif", {name: 1e-6 * signal for name, signal in sent.items()})
    outcome, _ = converted(volts, parameters)
    assert outcome.skipped.startswith("implausible amplitude: 1.") and "e-05 µV" in outcome.skipped
    outcome, found = converted(volts, parameters.model_copy(update={"wrong_units": "correct"}))
    assert outcome.factor == 1e6
    for name, values in right.items():
        np.testing.assert_allclose(found[name], values, atol=1e-3)


def test_noise_of_a_wrong_unit_is_not_corrected(tmp_path):
    sent = {name: 1e-6 * noise(20, seed=seed) for seed, name in enumerate(["C3", "C4"])}
    outcome, _ = converted(write_fif(tmp_path / "a_raw.fif", sent), PreprocessEeg(wrong_units="correct"))
    assert outcome.skipped.startswith("implausible amplitude, and no spectrum of EEG")


def test_a_recording_that_stopped_its_process_has_an_outcome(tmp_path):
    path = write_edf(tmp_path / "a.edf", signals())
    montage, contents = Montage(["C3", "C4"], "referential"), read_contents(path)
    job, parts = Job(path, contents, find(contents, montage.electrodes), montage, PreprocessEeg()), Parts(tmp_path / "p", "")
    skip(job, UnusableError("takes too long: as a test"), parts)
    assert outcome_of(job, parts).skipped == "takes too long: as a test" and sha256_of(job, parts) == ""


def test_a_recording_that_fails_on_the_way_is_remembered(tmp_path):
    sent = signals()
    sent["C4"][-10] = np.nan
    outcome, _ = converted(write_fif(tmp_path / "a_raw.fif", sent), PreprocessEeg())
    assert outcome.skipped == "contains NaN or infinite values"
    sent["C4"] = np.full(256 * SECONDS, 7.0)
    outcome, _ = converted(write_fif(tmp_path / "b_raw.fif", sent), PreprocessEeg())
    assert outcome.skipped == "constant: C4" and outcome.dropped == {"flat": 480, "clipped": 0, "noisy": 0}
