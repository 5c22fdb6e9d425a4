import os
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from mfr.compute.seeds import numpy_stream
from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.electrodes import TCP19, electrode
from mfr.sources.eeg.formats import find, read_contents, reader
from mfr.sources.eeg.simulation import RANGE_UV, RATES_HZ, SCALP, Session, coloured, sessions, simulate, write_corpus


def power(signals: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Power of each channel between two frequencies."""
    frequencies, density = welch(signals, rate, nperseg=4 * rate)
    return density[:, (frequencies >= low) & (frequencies < high)].sum(axis=1) / 4


def rows(*names: str) -> list[int]:
    return [TCP19.index(name) for name in names]


@pytest.fixture(scope="module")
def corpus() -> list[tuple[Session, np.ndarray]]:
    return [(session, simulate(session, 60, 0)) for session in sessions(12)]


def test_every_electrode_has_a_place_and_left_mirrors_right():
    assert set(SCALP) == set(TCP19)
    for left, right in [
        ("FP1", "FP2"),
        ("F7", "F8"),
        ("F3", "F4"),
        ("T3", "T4"),
        ("C3", "C4"),
        ("T5", "T6"),
        ("P3", "P4"),
        ("O1", "O2"),
    ]:
        assert SCALP[left] == (SCALP[right][0], -SCALP[right][1])


def test_the_corpus_varies_and_one_file_is_truncated():
    made = sessions(12)
    assert {session.rate_hz for session in made} == set(RATES_HZ)
    assert {session.line_hz for session in made} == {50, 60}
    assert {session.reference for session in made} == {"REF", "LE"}
    assert len({session.path for session in made}) == len(made) == 18
    for subjects in (2, 3, 12):
        assert [session.truncated for session in sessions(subjects)].count(True) == 1
        assert len({session.subject for session in sessions(subjects) if not session.truncated}) == subjects


def test_names_follow_tuh():
    assert sessions(2)[0].path == "edf/000/aaaaaaaa/s001_2015/01_tcp_ar/aaaaaaaa_s001_t000.edf"
    names = {Path(session.path).name[:8] for session in sessions(800)}
    assert len(names) == 800 and "aaaaaaba" in names


def test_coloured_noise_has_the_spectrum_and_variance_asked_for():
    noise = coloured(np.random.default_rng(0), 20, 60_000, 200, lambda f: 1.0 * ((f > 10) & (f < 20)))
    assert noise.var() == pytest.approx(1, rel=0.02)
    frequencies, density = welch(noise, 200, nperseg=2000)
    inside = (frequencies > 10.5) & (frequencies < 19.5)
    np.testing.assert_allclose(density.mean(axis=0)[inside], 0.1, rtol=0.1)
    assert density.mean(axis=0)[(frequencies < 9) | (frequencies > 21)].max() < 1e-4


def test_alpha_is_strongest_over_the_occiput(corpus):
    for session, signals in corpus:
        alpha = power(signals, session.rate_hz, 8, 13)
        assert alpha[rows("O1", "O2")].mean() > 1.5 * alpha[rows("FP1", "FP2", "F7", "F8")].mean()
        beside = power(signals, session.rate_hz, 13, 18)
        assert (alpha[rows("O1", "O2")] > 4 * beside[rows("O1", "O2")]).all()


def test_blinks_are_frontal_and_muscle_is_temporal(corpus):
    slow = np.mean([power(signals, session.rate_hz, 0.5, 4) for session, signals in corpus], axis=0)
    fast = np.mean([power(signals, session.rate_hz, 65, 95) for session, signals in corpus], axis=0)
    assert slow[rows("FP1", "FP2")].min() > 1.3 * slow[rows("C3", "C4", "P3", "P4")].max()
    assert fast[rows("T3", "T4")].min() > 2 * fast[rows("CZ", "PZ")].max()


def test_the_mains_stand_out_at_their_own_frequency(corpus):
    for session, signals in corpus:
        other = 110 - session.line_hz
        peak, beside, elsewhere = (power(signals, session.rate_hz, f - 1, f + 1) for f in (session.line_hz, 55, other))
        assert (peak > 2.5 * beside).all() and (peak > 2.5 * elsewhere).all()


def test_a_subject_keeps_its_alpha_and_sessions_differ(corpus):
    first, second = (signals for session, signals in corpus if session.subject == 3)
    assert first.shape != second.shape or not np.array_equal(first, second)
    peaks = []
    for session, signals in corpus:
        frequencies, density = welch(signals[rows("O1", "O2")], session.rate_hz, nperseg=8 * session.rate_hz)
        band = (frequencies > 8) & (frequencies < 12)
        weight = density.mean(axis=0)[band]
        peaks.append(((frequencies[band] * weight).sum() / weight.sum(), session.subject))
    own = {subject: numpy_stream("simulated_subject", 0, subject).uniform(9.2, 10.4) for _, subject in peaks}
    assert np.corrcoef([peak for peak, _ in peaks], [own[subject] for _, subject in peaks])[0, 1] > 0.8


def test_equal_arguments_give_equal_bytes_and_another_seed_others(tmp_path):
    for folder, seed in [("a", 0), ("b", 0), ("c", 1)]:
        assert write_corpus(tmp_path / folder, 2, 10, seed) == [session.path for session in sessions(2)]
    for session in sessions(2):
        a, b, c = ((tmp_path / folder / session.path).read_bytes() for folder in "abc")
        assert a == b != c


def test_files_hold_the_signals_beside_channels_that_are_no_eeg(tmp_path):
    write_corpus(tmp_path, 4, 10, 0)
    for session in sessions(4):
        path = tmp_path / session.path
        if session.truncated:
            with pytest.raises(UnusableError, match="cut short"):
                read_contents(path)
            continue
        contents = read_contents(path)
        labels = set(contents.labels)
        assert {f"EEG FP1-{session.reference}", f"EEG EKG1-{session.reference}", f"PHOTIC-{session.reference}"} <= labels
        assert ("IBI" in labels) == (session.subject % 3 == 0)
        channels = find(contents, TCP19)
        assert contents.rates[channels[0]] == session.rate_hz and contents.seconds == 10
        expected = simulate(session, 10, 0).clip(-RANGE_UV, RANGE_UV)
        received = reader(path, contents, channels)(0, 10 * session.rate_hz)
        np.testing.assert_allclose(received, expected, atol=2 * RANGE_UV / 65535)


@pytest.mark.skipif("MFR_EEG_DIR" not in os.environ, reason="MFR_EEG_DIR names no folder with a real recording")
def test_the_spectrum_is_within_3_db_of_a_real_one(corpus):
    path = next(Path(os.environ["MFR_EEG_DIR"]).rglob("*.edf"))
    contents = read_contents(path)
    common = [name for name in TCP19 if name in map(electrode, contents.labels)]
    channels = find(contents, common)

    def spectrum(signals: np.ndarray, rate: int) -> np.ndarray:
        """Mean power of the channels (µV²) in bands 1 Hz wide from 1 to 45 Hz."""
        density = welch(signals, rate, nperseg=4 * rate)[1].mean(axis=0)
        return density[4 : 4 * 45].reshape(44, 4).sum(axis=1) / 4

    signals = reader(path, contents, channels)(0, contents.samples[channels[0]])
    real = spectrum(signals, int(contents.rates[channels[0]]))
    ours = np.mean([spectrum(made[rows(*common)], session.rate_hz) for session, made in corpus], axis=0)
    assert np.abs(10 * np.log10(ours / real)).max() < 3
    assert np.abs(10 * np.log10(ours / ours.sum() * real.sum() / real)).max() < 2
