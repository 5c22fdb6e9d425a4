import numpy as np
import pytest

from mfr.denoising.denoisers import denoised, pca, principal_components, scores, standards, training_moments, wiener
from mfr.sources.eeg.signals import microvolts

N, C, T = 3000, 3, 4


@pytest.fixture
def windows() -> np.ndarray:
    random = np.random.default_rng(0)
    mixing = random.normal(size=(C * T, C * T)) * np.geomspace(1, 0.05, C * T)
    return 20 * (random.normal(size=(N, C * T)) @ mixing.T).reshape(N, C, T) + 2


@pytest.fixture
def vectors(windows: np.ndarray) -> np.ndarray:
    return windows.reshape(N, -1) / 7 + 0.3


def moments_of(vectors: np.ndarray, windows: np.ndarray, block: int = 700):
    return training_moments((vectors[at : at + block], windows[at : at + block]) for at in range(0, N, block))


def test_moments_in_blocks_are_those_of_all_rows(vectors: np.ndarray, windows: np.ndarray) -> None:
    found = moments_of(vectors, windows)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(vectors.T, bias=True), rtol=1e-8)
    unit = windows.reshape(N, -1) / np.sqrt((windows**2).mean(axis=(1, 2)))[:, None]
    np.testing.assert_allclose(found.scaled, unit.T @ unit / N)


@pytest.mark.parametrize("k", [1, 5, 12])
def test_pca_is_the_truncated_singular_value_decomposition(vectors: np.ndarray, windows: np.ndarray, k: int) -> None:
    found = moments_of(vectors, windows)
    ours = pca(found, principal_components(found, 12)[:k])(vectors)
    mean = vectors.mean(axis=0)
    left, values, right = np.linalg.svd(vectors - mean, full_matrices=False)
    np.testing.assert_allclose(ours, left[:, :k] * values[:k] @ right[:k] + mean, atol=1e-6)


def test_the_wiener_filter_is_the_regression_of_clean_on_noisy_windows() -> None:
    random = np.random.default_rng(1)
    signal, noise = (mixing @ mixing.T for mixing in random.normal(size=(2, 5, 5)))
    signal, noise = 5 * signal / np.trace(signal), 5 * noise / np.trace(noise)
    ours = wiener(signal, noise, 3.0)
    np.testing.assert_allclose(ours, signal @ np.linalg.inv(signal + 10**-0.3 * noise), atol=1e-4)
    x, e = (random.multivariate_normal(np.zeros(5), matrix, size=400_000) for matrix in (signal, noise))
    regression = np.linalg.lstsq(x + 10**-0.15 * e, x, rcond=None)[0].T
    np.testing.assert_allclose(ours, regression, atol=0.01)


def test_the_wiener_filter_knows_a_level_that_holds_for_windows_of_any_strength(windows: np.ndarray) -> None:
    matrix = wiener(moments_of(windows.reshape(N, -1), windows).scaled, np.eye(C * T), 0.0)
    noise = np.random.default_rng(2).normal(size=windows.shape)
    noise *= np.sqrt((windows**2).mean(axis=(1, 2)) / (noise**2).mean(axis=(1, 2)))[:, None, None]
    gains = []
    for factor in (1, 1000):
        noisy = factor * (windows + noise)
        estimate = (noisy.reshape(N, -1) @ matrix.T).reshape(noisy.shape)
        gains.append(scores(factor * windows, noisy, estimate).snr_gain_db)
    assert gains[0] == pytest.approx(gains[1]) and gains[0] > 3


def test_doing_nothing_gains_nothing_and_errs_by_the_ratio(windows: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(size=windows.shape)
    noisy = windows + noise * np.sqrt((windows**2).mean(axis=(1, 2)) / (noise**2).mean(axis=(1, 2)) / 10)[:, None, None]
    nothing = scores(windows, noisy, noisy)
    assert nothing.snr_gain_db == 0 and nothing.rrmse_time == pytest.approx(10**-0.5) and nothing.rrmse_spectrum > 0
    half = scores(windows, noisy, (windows + noisy) / 2)
    assert half.snr_gain_db == pytest.approx(20 * np.log10(2)) and half.rrmse_time == pytest.approx(10**-0.5 / 2)
    far = scores(windows[:1], noisy[:1], np.zeros_like(windows[:1]))
    assert far.rrmse_time == 1 == far.rrmse_spectrum and far.snr_gain_db == pytest.approx(-10)


@pytest.mark.parametrize("how", ["window_channel", "recording_channel", "none"])
def test_a_perfect_reconstruction_gives_the_noisy_window_back(windows: np.ndarray, how: str) -> None:
    mean, deviation = np.random.default_rng(3).uniform(1, 4, size=(2, N, C))
    noisy = windows + np.random.default_rng(2).normal(size=windows.shape)
    back = denoised(noisy, *standards(noisy, mean, deviation, how), lambda vectors: vectors)
    np.testing.assert_allclose(back, noisy, atol=1e-9)
    assert abs(scores(windows, noisy, back).snr_gain_db) < 1e-9


def test_a_window_is_standardised_by_itself_only(windows: np.ndarray) -> None:
    unknown = np.full((N, C), np.nan)
    mean, deviation = standards(windows, unknown, unknown, "window_channel")
    seen = []
    denoised(windows, mean, deviation, lambda vectors: seen.append(vectors) or vectors)
    by_channel = seen[0].reshape(N, C, T)
    np.testing.assert_allclose(by_channel.mean(axis=2), 0, atol=1e-9)
    np.testing.assert_allclose(by_channel.std(axis=2), 1)
    np.testing.assert_allclose(microvolts(seen[0], mean, deviation), windows, atol=1e-9)
    assert standards(windows, unknown, unknown, "recording_channel")[0] is unknown
