from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from mfr.edf import UnusableError
from mfr.eeg import Recording, band_pass, check_usable, clean, moments, resample, vectorise, windows
from mfr.params import PreprocessEeg

RATE = Fraction(250)


def theory(f: float, low: float, high: float, order: int) -> float:
    """Gain of one pass of the bilinear Butterworth band-pass."""
    w, w1, w2 = (np.tan(np.pi * x / float(RATE)) for x in (f, low, high))
    return 1 / np.sqrt(1 + ((w**2 - w1 * w2) / ((w2 - w1) * w)) ** (2 * order))


def sinusoid(f: float, seconds: int = 240) -> np.ndarray:
    return np.sin(2 * np.pi * f * np.arange(seconds * 250) / 250)


def constant_free(signals: np.ndarray, count: int) -> Recording:
    return Recording(signals.astype(np.float32), np.zeros((count, len(signals)), bool))


@pytest.mark.parametrize("f", [0.25, 0.5, 2, 10, 40, 45, 50, 60])
def test_a_sinusoid_keeps_its_phase_and_gains_what_two_passes_should(f):
    middle = slice(250 * 60, 250 * 180)
    sent = sinusoid(f)
    received = band_pass(sent, RATE, 0.5, 45.0, 5)[middle]
    np.testing.assert_allclose(received, theory(f, 0.5, 45.0, 5) ** 2 * sent[middle], atol=1e-4)


def test_edges_are_at_half_amplitude():
    assert 20 * np.log10(theory(45, 0.5, 45, 5)) == pytest.approx(-3.0103, abs=1e-4)
    received = band_pass(sinusoid(45.0), RATE, 0.5, 45.0, 5)[15000:45000]
    assert 20 * np.log10(received.std() * np.sqrt(2)) == pytest.approx(-6.0206, abs=1e-3)


def test_an_offset_is_removed_without_ringing():
    assert np.abs(band_pass(np.full(2500, 4000.0), RATE, 0.5, 45.0, 5)).max() < 1e-6


def test_filter_equals_the_polynomial_form_where_that_is_stable():
    x = np.random.default_rng(0).normal(size=5000)
    b, a = signal.butter(3, [2 / 125, 40 / 125], btype="bandpass")
    np.testing.assert_allclose(band_pass(x, RATE, 2.0, 40.0, 3), signal.filtfilt(b, a, x, padlen=125), atol=1e-8)


@pytest.mark.parametrize("rate", [128, 200, 250, 256, 400, 512])
def test_resampling_keeps_a_band_limited_signal(rate):
    t, new = np.arange(20 * rate) / rate, np.arange(20 * 128) / 128
    received = resample(np.sin(2 * np.pi * 11 * t + 1), Fraction(rate), 128.0)
    assert len(received) == len(new)
    np.testing.assert_allclose(received[256:-256], np.sin(2 * np.pi * 11 * new + 1)[256:-256], atol=2e-3)


def test_windows_follow_each_other_and_leave_the_rest_out():
    view = windows(np.arange(22).reshape(2, 11), 4, 3)
    assert view.shape == (3, 2, 4)
    np.testing.assert_array_equal(view[1], [[3, 4, 5, 6], [14, 15, 16, 17]])


def test_a_vector_holds_one_channel_after_another():
    parameters = PreprocessEeg(rate_hz=128, window_s=4 / 128, step_s=2 / 128, standardise="none")
    signals = np.random.default_rng(0).normal(size=(3, 9))
    [block] = vectorise(constant_free(signals, 3), parameters)
    vectors, start_s = block["vectors"], block["start_s"]
    assert vectors.dtype == start_s.dtype == np.float32
    np.testing.assert_array_equal(vectors[2], signals[:, 4:8].astype(np.float32).ravel())
    np.testing.assert_array_equal(start_s, [0, 2 / 128, 4 / 128])


@pytest.mark.parametrize("standardise", ["window_channel", "recording_channel", "none"])
def test_standardising(standardise):
    parameters = PreprocessEeg(standardise=standardise, window_s=0.5, step_s=0.5)
    signals = np.random.default_rng(0).normal(5, [[3], [40]], size=(2, 12800)) + 20 * np.sin(np.arange(12800) / 3000)
    signals = signals.astype(np.float32)
    [block] = vectorise(constant_free(signals, 200), parameters)
    rows = block["vectors"].reshape(200, 2, 64)
    whole = (signals - signals.mean(1, keepdims=True)) / signals.std(1, keepdims=True)
    cut = signals.reshape(2, 200, 64)
    expected = {
        "none": cut,
        "recording_channel": whole.reshape(2, 200, 64),
        "window_channel": (cut - cut.mean(2, keepdims=True)) / cut.std(2, keepdims=True),
    }[standardise]
    np.testing.assert_allclose(rows, expected.transpose(1, 0, 2), atol=2e-4)


def test_moments_of_a_window():
    mean, deviation = moments(np.array([[[1, 3], [2, 2]]], np.float32))
    assert mean.tolist() == [[[2], [2]]] and deviation.tolist() == [[[1], [0]]]


@pytest.mark.parametrize("standardise", ["window_channel", "recording_channel", "none"])
def test_windows_with_a_constant_channel_are_left_out_although_the_filter_rings(standardise):
    raw = np.random.default_rng(0).normal(0, 20, size=(2, 250 * 40))
    raw[1, 2500:5000] = 7.0  # a lead is off from second 10 to 20
    parameters = PreprocessEeg(standardise=standardise, window_s=0.25, step_s=0.25)
    recording = clean(raw, RATE, parameters)
    assert np.abs(recording.signals[1, 13 * 128]) > 1e-6
    [block] = vectorise(recording, parameters)
    rows, start_s = block["vectors"], block["start_s"]
    assert np.isfinite(rows).all()
    inside = np.arange(10, 20, 0.25)
    np.testing.assert_array_equal(np.setdiff1d(np.arange(0, 40, 0.25), start_s), inside)


@pytest.mark.parametrize("standardise", ["window_channel", "recording_channel", "none"])
def test_a_channel_that_never_changes_leaves_nothing(standardise):
    raw = np.random.default_rng(0).normal(0, 20, size=(2, 2500))
    raw[0] = 12.5
    parameters = PreprocessEeg(standardise=standardise)
    assert [len(block["vectors"]) for block in vectorise(clean(raw, RATE, parameters), parameters)] == [0]


def test_cleaning_equals_scipy_step_by_step():
    raw = np.random.default_rng(0).normal(0, 20, size=(2, 250 * 20))
    sections = signal.iirfilter(5, [0.5, 45], btype="bandpass", ftype="butter", fs=250, output="sos")
    expected = signal.resample_poly(signal.sosfiltfilt(sections, raw, padlen=500), 64, 125, axis=1)
    recording = clean(iter(raw), RATE, PreprocessEeg())
    assert recording.signals.dtype == np.float32 and recording.constant.shape == (80, 2)
    np.testing.assert_allclose(recording.signals, expected, atol=1e-4)


def test_many_windows_come_in_blocks_without_a_gap():
    parameters = PreprocessEeg(window_s=2 / 128, step_s=1 / 128, standardise="none")
    signals = np.random.default_rng(0).normal(size=(1, 10_001))
    blocks = list(vectorise(constant_free(signals, 10_000), parameters))
    assert len(blocks) == 3
    np.testing.assert_allclose(np.concatenate([block["start_s"] for block in blocks]), np.arange(10_000) / 128)
    first = np.concatenate([block["vectors"] for block in blocks])[:, 0]
    np.testing.assert_array_equal(first, signals[0, :-1].astype(np.float32))


def test_what_is_too_short_or_too_slow():
    check_usable(501, RATE, PreprocessEeg())
    with pytest.raises(UnusableError, match=r"too short: 2 s.* need 2\.004 s"):
        check_usable(500, RATE, PreprocessEeg())
    with pytest.raises(UnusableError, match=r"too short: 2\.5 s.* need 3 s"):
        check_usable(625, RATE, PreprocessEeg(window_s=3))
    with pytest.raises(UnusableError, match=r"sampled too slowly: 90 Hz.*more than 90 Hz"):
        check_usable(6000, Fraction(90), PreprocessEeg())


@pytest.mark.parametrize("low_hz", [0.3, 0.5, 7.0])
@pytest.mark.parametrize("rate", [Fraction(250), Fraction(256), Fraction(1000, 3)])
@pytest.mark.parametrize("window_s", [0.25, 2.004, 5.0])
def test_the_shortest_usable_recording_gives_a_window(low_hz, rate, window_s):
    parameters = PreprocessEeg(low_hz=low_hz, window_s=window_s)
    samples = 1
    while True:
        try:
            check_usable(samples, rate, parameters)
            break
        except UnusableError:
            samples += 1
    raw = np.random.default_rng(0).normal(size=(2, samples))
    assert sum(len(block["vectors"]) for block in vectorise(clean(raw, rate, parameters), parameters)) >= 1
