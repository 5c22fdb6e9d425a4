import numpy as np
import pytest

from mfr.denoising.noise import KINDS, Kind, Shape, add, covariance, draw, mean_square
from mfr.sources.eeg.electrodes import directions, gains

CHANNELS = ["FP1", "FP2", "F7", "T3", "T4", "CZ", "O1", "O2"]
SECOND = Shape(CHANNELS, 256, 256.0, 50.0)


def drawn(kind: Kind, count: int = 400, shape: Shape = SECOND) -> np.ndarray:
    noise = draw(kind, count, shape, np.random.default_rng(1))
    return noise / np.sqrt(mean_square(noise))[:, None, None]


def power_by_frequency(noise: np.ndarray) -> np.ndarray:
    """Share of the power at 0, 1, 2, … Hz."""
    power = (np.abs(np.fft.rfft(noise, axis=2)) ** 2).sum(axis=(0, 1))
    return power / power.sum()


def loudest(noise: np.ndarray, count: int) -> set[str]:
    return {CHANNELS[i] for i in np.argsort(np.square(noise).sum(axis=(0, 2)))[-count:]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [-5, 0, 10])
def test_each_window_has_the_ratio_that_was_asked(kind: Kind, level: int) -> None:
    clean = np.random.default_rng(0).normal(size=(30, len(CHANNELS), 256)) * np.geomspace(1, 100, 30)[:, None, None]
    added = add(clean, draw(kind, 30, SECOND, np.random.default_rng(1)), level) - clean
    ratio = 10 * np.log10(np.square(clean).sum(axis=(1, 2)) / np.square(added).sum(axis=(1, 2)))
    np.testing.assert_allclose(ratio, level, atol=1e-9)


def test_white_noise_is_the_same_at_all_frequencies_and_places() -> None:
    noise = drawn("white")
    assert np.allclose(power_by_frequency(noise)[1:-1], 2 / 256, rtol=0.12)
    assert np.allclose(np.square(noise).mean(axis=(0, 2)), 1, rtol=0.05)


def test_muscle_is_a_burst_of_20_to_60_hz_over_one_temple() -> None:
    noise = drawn("muscle")
    assert power_by_frequency(noise)[18:63].sum() > 0.95 and loudest(noise, 2) == {"T3", "T4"}
    left, right = (np.square(noise[:, CHANNELS.index(name)]).sum(axis=1) for name in ("T3", "T4"))
    assert ((left > 50 * right) ^ (right > 50 * left)).all()
    halves = np.square(noise).sum(axis=1)[:, : 256 // 2 * 2].reshape(len(noise), 8, -1).sum(axis=2)
    assert (halves.max(axis=1) > 0.2 * halves.sum(axis=1)).mean() > 0.9


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
def test_the_line_is_one_frequency_in_phase_over_channels(line_hz: float) -> None:
    noise = drawn("line", shape=Shape(CHANNELS, 256, 256.0, line_hz))
    assert power_by_frequency(noise)[int(line_hz)] > 0.999
    assert np.corrcoef(noise[0]).min() > 0.999 and np.corrcoef(noise[:, 0])[0, 1:].std() > 0.5


def test_blinks_are_slow_and_frontal() -> None:
    noise = drawn("blink")
    assert power_by_frequency(noise)[:6].sum() > 0.98 and loudest(noise, 2) == {"FP1", "FP2"}
    assert (noise > -1e-9).all()


def test_a_pop_is_a_step_with_decay_on_one_channel() -> None:
    noise = drawn("pop")
    touched = np.square(noise).sum(axis=2) > 0
    assert (touched.sum(axis=1) == 1).all() and touched.any(axis=0).all()
    for wave in np.abs(noise[touched]):
        first = np.flatnonzero(wave)[0]
        assert (wave[:first] == 0).all() and (np.diff(wave[first:]) < 0).all() and wave[first] == wave.max()


@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_is_that_of_the_windows(kind: Kind) -> None:
    shape = Shape(["FP1", "T3", "O2"], 12, 100.0, 40.0)
    flat = drawn(kind, 40_000, shape).reshape(40_000, -1)
    expected, found = flat.T @ flat / len(flat), covariance(kind, shape, np.random.default_rng(2))
    assert np.linalg.norm(found - expected) < 0.06 * np.linalg.norm(expected) and np.trace(found) == pytest.approx(36)


def test_places_of_electrodes() -> None:
    fp1, oz, t4, c3, pair, unknown = directions(["Fp1", "OZ", "T8", "C3", "F3-F4", "E42"])
    assert fp1[1] > 0.9 and oz[1] < -0.9 and t4[0] > 0.9 and c3[0] < -0.5 < 0.5 < c3[2]
    assert abs(pair[0]) < 0.05 and np.isnan(unknown).all()


def test_a_bipolar_channel_sees_a_difference_and_an_unknown_one_nothing() -> None:
    source = directions(["FP1"])
    fp1, bipolar, same, unknown = gains(["FP1", "FP1-O1", "O1-O2", "E42"], source, 0.3)[0]
    assert fp1 == pytest.approx(1) == bipolar and abs(same) < 1e-3 and unknown == 0
    assert (gains(["E1", "E2"], source, 0.3) == 1).all()
