import os
from pathlib import Path

import numpy as np
import pytest

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError
from mfr.sources.eeg.artefacts import REASONS, Marks, check_spectrum, marks, unit_factor, verdicts
from mfr.sources.eeg.formats import read_contents, reader
from mfr.sources.eeg.simulation import sessions, simulate
from tests.support.recording_files import pink

FIRST = np.arange(0, 1000, 50)
LAST = FIRST + 99
LAST[-1] = 999


def seen(raw: np.ndarray) -> Marks:
    """Marks of overlapping windows of 100 samples, seen in two blocks."""
    return Marks.joined([marks(raw, FIRST[:7], LAST[:7]), marks(raw[:, 300:], FIRST[7:] - 300, LAST[7:] - 300)])


def test_marks_equal_a_plain_loop():
    raw = np.random.default_rng(0).integers(-3, 4, size=(3, 1000)).astype(float)
    raw[1, 320:480] = 3
    raw[2, 150:153] = 7
    found = seen(raw)
    for row, (first, last) in enumerate(zip(FIRST, LAST, strict=True)):
        for channel in range(3):
            part = raw[channel, first : last + 1]
            runs = [part[i] for i in range(len(part) - 2) if part[i] == part[i + 1] == part[i + 2]]
            expected = part.min() == part.max(), part.max(), part.min(), part.max() in runs, part.min() in runs
            assert tuple(getattr(found, name)[row, channel] for name in vars(found)) == expected


def test_held_at_the_highest_or_lowest_value_of_the_recording_is_clipped():
    raw = np.random.default_rng(0).normal(0, 20, size=(2, 1000))
    assert not seen(raw).clipped.any()
    clipped = raw.clip(-np.inf, 25)
    hit = (clipped[:, 2:] == 25) & (clipped[:, 1:-1] == 25) & (clipped[:, :-2] == 25)
    expected = [hit[:, first : last - 1].any() for first, last in zip(FIRST, LAST, strict=True)]
    assert 0 < sum(expected) < len(expected)
    np.testing.assert_array_equal(seen(clipped).clipped, expected)
    np.testing.assert_array_equal(seen(-clipped).clipped, expected)
    # A value that is higher elsewhere is no limit, and two samples are a coincidence.
    plateau = raw.copy()
    plateau[0, 10:20], plateau[1, 500:502] = 0.0, 200.0
    assert not seen(plateau).clipped.any()


def test_each_window_has_one_reason():
    random = np.random.default_rng(0)
    raw = random.normal(0, 20, size=(2, 1000))
    raw[0, 200:400] = 5.0
    raw[1, 600:610] = 500.0
    deviation = random.uniform(15, 25, size=(20, 2))
    deviation[[4, 12, 17], [0, 1, 1]] = 300.0
    deviation[19, 1] = 1e-7
    found = verdicts(seen(raw), deviation, PreprocessEeg())
    named = {reason: np.flatnonzero(found == code).tolist() for code, reason in enumerate(REASONS, start=1)}
    assert named == {"flat": [4, 5, 6, 19], "clipped": [11, 12], "noisy": [17]}
    found = verdicts(seen(raw), deviation, PreprocessEeg(noisy_above=None))
    assert found[17] == 0
    assert (verdicts(seen(raw), 3 * deviation, PreprocessEeg(noisy_above=1.5)) == 3).sum() < 5


@pytest.mark.parametrize(
    ("scale", "factor"), [(1, 1), (1e-6, 1e6), (1e6, 1e-6), (1e-3, 1e3), (1e3, 1e-3), (0.004, 1000), (50, 1), (300, 1 / 1000)]
)
def test_amplitudes_that_show_a_wrong_unit(scale, factor):
    deviation = scale * np.random.default_rng(0).uniform(5, 15, size=(100, 4))
    assert unit_factor(deviation, {"uV"}, PreprocessEeg(wrong_units="correct")) == pytest.approx(factor)
    if factor == 1:
        assert unit_factor(deviation, {"V"}, PreprocessEeg(unit="uV")) == 1
        return
    with pytest.raises(UnusableError, match=r"implausible amplitude: .* µV.*wrong_units: correct"):
        unit_factor(deviation, {"uV"}, PreprocessEeg())


def test_a_stated_unit_replaces_one_that_makes_the_amplitude_implausible():
    deviation = np.random.default_rng(0).uniform(5, 15, size=(100, 4))
    assert unit_factor(1e6 * deviation, {"V"}, PreprocessEeg(unit="uV")) == pytest.approx(1e-6)
    assert unit_factor(1e-3 * deviation, {"uV"}, PreprocessEeg(unit="mV")) == pytest.approx(1000)
    for stated, unit in (({"uV"}, "uV"), ({"uV"}, "V"), ({"V", "uV"}, "uV"), ({"nV"}, "uV")):
        with pytest.raises(UnusableError, match="implausible amplitude"):
            unit_factor(1e-3 * deviation, stated, PreprocessEeg(unit=unit))


def test_no_unit_explains_some_amplitudes():
    correct = PreprocessEeg(wrong_units="correct")
    deviation = np.random.default_rng(0).uniform(5, 15, size=(100, 4))
    deviation[:60] = 0
    with pytest.raises(UnusableError, match="implausible amplitude: 0 µV: most windows are constant") as raised:
        unit_factor(deviation, {"uV"}, correct)
    assert "correct" not in str(raised.value)
    for scale, stated in ((1e-12, {"uV"}), (1e12, {"uV"}), (1e-3, {"uV", "mV"})):
        with pytest.raises(UnusableError, match="no confusion of uV, mV and V in all channels explains it"):
            unit_factor(scale * deviation[60:], stated, correct)


@pytest.mark.parametrize("rate", [128, 250, 512])
@pytest.mark.parametrize("scale", [1e-9, 1, 1e6])
def test_the_spectrum_of_noise_is_not_that_of_eeg(rate, scale):
    check_spectrum(scale * np.stack([pink(10, rate, seed) for seed in range(4)]), rate)
    for seed in range(20):
        random = np.random.default_rng(seed)
        for garbage in (random.normal(size=(4, 10 * rate)), random.integers(-32768, 32768, size=(4, 10 * rate))):
            with pytest.raises(UnusableError, match=r"no spectrum of EEG: .* should be at least 4 times"):
                check_spectrum(scale * garbage, rate)
    with pytest.raises(UnusableError, match="no spectrum of EEG"):
        check_spectrum(np.zeros((4, 10 * rate)), rate)


def test_a_slow_or_short_recording_cannot_show_its_spectrum():
    for seconds, rate in ((10, 60), (1, 8)):
        with pytest.raises(UnusableError, match="cannot show a spectrum of EEG"):
            check_spectrum(np.ones((2, seconds * rate)), rate)


def test_simulated_recordings_have_a_spectrum_of_eeg():
    for session in sessions(6):
        check_spectrum(simulate(session, 10, 0), session.rate_hz)


@pytest.mark.skipif("MFR_EEG_DIR" not in os.environ, reason="MFR_EEG_DIR names no folder with a real recording")
def test_real_recordings_have_a_spectrum_of_eeg():
    for path in Path(os.environ["MFR_EEG_DIR"]).rglob("*.edf"):
        contents = read_contents(path)
        channels = [number for number, unit in enumerate(contents.units) if unit == "uV"]
        signals = reader(path, contents, channels)(0, contents.samples[0])
        check_spectrum(signals, float(contents.rates[0]))
