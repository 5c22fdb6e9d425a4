from fractions import Fraction

import mne
import numpy as np
import pytest
from scipy import signal

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError
from mfr.sources.eeg import signals as eeg
from mfr.sources.eeg.signals import (
    SECTION_BITS,
    TAP_BITS,
    Plan,
    microvolts,
    moments,
    resample,
    rounded,
    standardise,
    windows,
    zero_phase,
)
from mfr.sources.eeg.simulation import RATES_HZ

RATE = Fraction(250)


def theory(f: float, low: float, high: float, order: int) -> float:
    """Gain of one pass of the bilinear Butterworth band-pass."""
    w, w1, w2 = (np.tan(np.pi * x / float(RATE)) for x in (f, low, high))
    return 1 / np.sqrt(1 + ((w**2 - w1 * w2) / ((w2 - w1) * w)) ** (2 * order))


def sinusoid(f: float, seconds: int = 240) -> np.ndarray:
    return np.sin(2 * np.pi * f * np.arange(seconds * 250) / 250)


def cleaned(raw: np.ndarray, rate: Fraction, parameters: PreprocessEeg) -> np.ndarray:
    """A whole recording (channels, time) at once or in blocks: the windows (windows, channels, window)."""
    plan = Plan(raw.shape[1], rate, parameters)
    blocks = [plan.clean(raw[:, block.start : block.stop], block) for block in plan.blocks(len(raw))]
    return np.concatenate([windows(block, plan.window, plan.step) for block in blocks])


def filtered(raw: np.ndarray, **settings: float | list[float]) -> np.ndarray:
    """One channel through the filter alone."""
    plan = Plan(len(raw), RATE, PreprocessEeg(rate_hz=250, **settings))
    return zero_phase(plan.sections, raw, plan.pad)


@pytest.mark.parametrize("f", [0.25, 0.5, 2, 10, 40, 45, 50, 60])
def test_a_sinusoid_keeps_its_phase_and_gains_what_two_passes_should(f):
    middle = slice(250 * 60, 250 * 180)
    sent = sinusoid(f)
    received = cleaned(sent[None], RATE, PreprocessEeg(rate_hz=250, window_s=1, step_s=1)).ravel()[middle]
    np.testing.assert_allclose(received, theory(f, 0.5, 45.0, 5) ** 2 * sent[middle], atol=1e-4)


def test_edges_are_at_minus_3_db_in_one_pass_and_minus_6_in_two_and_the_stop_band_is_far_below():
    sections = eeg.band_pass(RATE, PreprocessEeg())
    f, response = signal.freqz_sos(sections, [0.05, 0.1, 0.5, 1, 30, 45, 70, 100, 120], fs=250)
    db = dict(zip(f.tolist(), 20 * np.log10(np.abs(response)), strict=True))
    assert db[0.5] == pytest.approx(-3.0103, abs=1e-3) and db[45] == pytest.approx(-3.0103, abs=1e-4)
    assert max(db[0.05], db[120]) < -99 and db[0.1] < -69 and db[70] < -25 and db[100] < -60
    assert abs(db[1]) < 0.01 and abs(db[30]) < 0.1
    received = filtered(sinusoid(45.0))[15000:45000]
    assert 20 * np.log10(received.std() * np.sqrt(2)) == pytest.approx(-6.0206, abs=1e-3)


def test_an_offset_is_removed_without_ringing():
    assert np.abs(filtered(np.full(2500, 4000.0))).max() < 1e-6


def test_the_filter_equals_scipys_and_is_close_to_mnes():
    raw = np.random.default_rng(0).normal(0, 20, size=(2, 250 * 120))
    sections = signal.iirfilter(5, [0.5, 45], btype="bandpass", ftype="butter", fs=250, output="sos")
    expected = signal.sosfiltfilt(sections, raw, padlen=500)
    ours = cleaned(raw, RATE, PreprocessEeg(rate_hz=250, window_s=120))[0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    iir = {"order": 5, "ftype": "butter", "output": "sos"}
    theirs = mne.filter.filter_data(raw, 250, 0.5, 45, method="iir", iir_params=iir, verbose="ERROR")
    # MNE extends the ends otherwise.
    np.testing.assert_allclose(ours[:, 2500:-2500], theirs[:, 2500:-2500], atol=1e-3)


def test_the_filter_equals_the_polynomial_form_where_that_is_stable():
    x = np.random.default_rng(0).normal(size=5000)
    b, a = signal.butter(3, [2 / 125, 40 / 125], btype="bandpass")
    received = filtered(x, low_hz=2.0, high_hz=40.0, order=3)
    np.testing.assert_allclose(received, signal.filtfilt(b, a, x, padlen=125), atol=1e-8)


def test_notches_take_out_their_lines_only():
    settings = {"high_hz": 90.0, "notch_hz": [50.0, 60.0]}
    for f, gain in [(50, 0), (60, 0), (45, 1), (55, 1), (70, 1)]:
        received = filtered(sinusoid(f), **settings)[15000:45000]
        assert received.std() * np.sqrt(2) == pytest.approx(gain, abs=0.07)
    plan = Plan(5000, Fraction(100), PreprocessEeg(notch_hz=[25.0, 60.0], rate_hz=100))
    assert len(plan.sections) == 5 + 1  # 60 Hz is not in a recording at 100 Hz


@pytest.mark.parametrize("settings", [{}, {"order": 3, "low_hz": 4.0}, {"low_hz": 0.1, "notch_hz": [50.0, 60.0]}])
def test_the_two_passes_equal_scipys(settings):
    plan = Plan(5000, RATE, PreprocessEeg(rate_hz=250, **settings))
    for length in (plan.pad + 1, plan.pad + 2, 5000):
        raw = 300 + np.random.default_rng(0).normal(0, 20, size=length)
        expected = signal.sosfiltfilt(plan.sections, raw, padlen=plan.pad)
        np.testing.assert_allclose(zero_phase(plan.sections, raw, plan.pad), expected, rtol=0, atol=1e-9)


def test_the_largest_of_a_row_keeps_its_bits():
    coefficients = np.array([[3, -1.3, 0], [0.25, 0.2, 1e-9]])
    assert rounded(coefficients, 4).tolist() == [[3, -1.25, 0], [0.25, 0.1875, 0]]
    np.testing.assert_array_equal(rounded(rounded(coefficients, 4), 4), rounded(coefficients, 4))


@pytest.mark.parametrize("rate", [*RATES_HZ, 160, 200, 500, 1000])
def test_coefficients_hide_the_last_bits_of_their_design(rate):
    random = np.random.default_rng(rate)

    def nudged(values: np.ndarray) -> np.ndarray:
        """Each value that is not whole, off by up to 64 units in the last place of the largest in its row."""
        by = random.integers(-64, 65, values.shape) * (values % 1 != 0)
        return values + by * np.spacing(np.abs(values).max(axis=-1, keepdims=True))

    sections = signal.butter(5, [0.5, 45], btype="bandpass", fs=rate, output="sos").reshape(-1, 2, 3)
    assert rounded(sections, SECTION_BITS).ravel().tolist() == eeg.band_pass(Fraction(rate), PreprocessEeg()).ravel().tolist()
    factor = max(Fraction(128, rate).as_integer_ratio())
    taps = signal.firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0))
    for design, bits in ((sections, SECTION_BITS), (taps, TAP_BITS)):
        for _ in range(20):
            np.testing.assert_array_equal(rounded(nudged(design), bits), rounded(design, bits))


@pytest.mark.parametrize(("rate", "low_hz", "error"), [(250, 0.5, 1e-7), (1000, 0.1, 1e-4), (5000, 0.1, 1e-3)])
def test_rounding_keeps_the_response(rate, low_hz, error):
    exact = signal.butter(5, [low_hz, 45], btype="bandpass", fs=rate, output="sos")
    ours = eeg.band_pass(Fraction(rate), PreprocessEeg(low_hz=low_hz))
    f = np.geomspace(low_hz / 2, 90, 500)
    responses = [signal.freqz_sos(sections, f, fs=rate)[1] for sections in (exact, ours)]
    np.testing.assert_allclose(*responses, rtol=0, atol=error)


def test_resampling_equals_scipys():
    x = np.random.default_rng(0).normal(size=5000)
    for up, down in [(64, 125), (1, 2), (8, 25), (1, 4), (4, 3)]:
        expected = signal.resample_poly(x, up, down)
        np.testing.assert_allclose(resample(x, Fraction(up, down)), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rate", [128, 200, 250, 256, 400, 512])
def test_resampling_keeps_a_band_limited_signal(rate):
    t, new = np.arange(20 * rate) / rate, np.arange(20 * 128) / 128
    received = resample(np.sin(2 * np.pi * 11 * t + 1), Fraction(128, rate))
    assert len(received) == len(new)
    np.testing.assert_allclose(received[256:-256], np.sin(2 * np.pi * 11 * new + 1)[256:-256], atol=2e-3)


@pytest.mark.parametrize("f", [70, 83, 100, 118])
def test_nothing_above_half_of_the_new_rate_comes_back_as_another_frequency(f):
    received = cleaned(100 * sinusoid(f, 60)[None], RATE, PreprocessEeg(window_s=1, step_s=1))
    assert np.abs(received[5:-5]).max() < 100 * 10 ** (-50 / 20)


@pytest.mark.parametrize(
    ("rate", "settings"),
    [
        (Fraction(250), {"step_s": 0.125}),
        (Fraction(512), {"window_s": 2.0, "step_s": 0.3}),
        (Fraction(1000, 3), {"rate_hz": 100.0, "notch_hz": 60.0, "step_s": 1.0}),
    ],
)
def test_blocks_give_what_the_whole_gives(monkeypatch, rate, settings):
    parameters = PreprocessEeg(**settings)
    random = np.random.default_rng(0)
    raw = random.normal(500, 20, size=(2, int(400 * rate)))
    raw[0] += np.linspace(0, 4000, raw.shape[1])
    whole = cleaned(raw, rate, parameters)
    assert len(list(Plan(raw.shape[1], rate, parameters).blocks(2))) == 1
    monkeypatch.setattr(eeg, "VALUES_A_BLOCK", 1 << 15)
    plan = Plan(raw.shape[1], rate, parameters)
    blocks = list(plan.blocks(2))
    assert len(blocks) >= 6 and [block.first for block in blocks[1:]] == [block.last for block in blocks[:-1]]
    assert max(block.stop - block.start for block in blocks) < raw.shape[1] / 2
    np.testing.assert_allclose(cleaned(raw, rate, parameters), whole, atol=1e-7)


def test_a_block_is_bounded_whatever_the_length_and_the_step():
    for parameters in (PreprocessEeg(), PreprocessEeg(step_s=1 / 128)):
        plan = Plan(24 * 3600 * 512, Fraction(512), parameters)
        for block in plan.blocks(32):
            assert 32 * (block.stop - block.start - 2 * plan.margin - 512) <= eeg.VALUES_A_BLOCK
            assert 32 * plan.window * (block.last - block.first) <= eeg.VALUES_A_BLOCK
        assert block.last == plan.count == (24 * 3600 * 128 - 32) // plan.step + 1


def test_windows_follow_each_other_and_leave_the_rest_out():
    view = windows(np.arange(22).reshape(2, 11), 4, 3)
    assert view.shape == (3, 2, 4)
    np.testing.assert_array_equal(view[1], [[3, 4, 5, 6], [14, 15, 16, 17]])


def test_a_vector_holds_one_channel_after_another_and_returns_to_microvolts():
    signals = np.random.default_rng(0).normal(30, 10, size=(7, 3, 5))
    mean, deviation = moments(signals)
    vectors = standardise(signals, mean, deviation)
    assert vectors.dtype == np.float32 and vectors.shape == (7, 15)
    np.testing.assert_allclose(vectors[2, 5:10], (signals[2, 1] - signals[2, 1].mean()) / signals[2, 1].std(), atol=1e-6)
    np.testing.assert_allclose(microvolts(vectors, mean, deviation), signals, atol=1e-4)
    assert standardise(signals[:0], mean[:0], deviation[:0]).shape == (0, 15)
    assert microvolts(vectors[:0], mean[:0], deviation[:0]).shape == (0, 3, 5)


def test_moments_of_a_window():
    mean, deviation = moments(np.array([[[1, 3], [2, 2]]], np.float32))
    assert mean.tolist() == [[2, 2]] and deviation.tolist() == [[1, 0]]


def test_what_is_too_short_or_too_slow():
    Plan(501, RATE, PreprocessEeg())
    with pytest.raises(UnusableError, match=r"too short: 2 s.* need 2\.004 s"):
        Plan(500, RATE, PreprocessEeg())
    with pytest.raises(UnusableError, match=r"too short: 2\.5 s.* need 3 s"):
        Plan(625, RATE, PreprocessEeg(window_s=3))
    with pytest.raises(UnusableError, match=r"sampled too slowly: 90 Hz.*more than 90 Hz"):
        Plan(6000, Fraction(90), PreprocessEeg())


@pytest.mark.parametrize("low_hz", [0.3, 0.5, 7.0])
@pytest.mark.parametrize("rate", [Fraction(250), Fraction(256), Fraction(1000, 3)])
@pytest.mark.parametrize("window_s", [0.25, 2.004, 5.0])
def test_the_shortest_usable_recording_gives_a_window(low_hz, rate, window_s):
    parameters = PreprocessEeg(low_hz=low_hz, window_s=window_s)
    samples = 1
    while True:
        try:
            Plan(samples, rate, parameters)
            break
        except UnusableError:
            samples += 1
    raw = np.random.default_rng(0).normal(size=(2, samples))
    assert len(cleaned(raw, rate, parameters)) >= 1
