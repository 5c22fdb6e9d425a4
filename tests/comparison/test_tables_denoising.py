import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mfr.comparison.eeg import denoising_table

GAINS = {"baseline": [2.0, 2.2, 2.1], "mfr": [4.0, 4.1, 4.2]}


def runs() -> pd.DataFrame:
    """One kind of noise and strength; PCA gains 3 dB, and each method's second SAE of k = 4 gains 1 dB more."""
    rows = []
    for method, gains in GAINS.items():
        for seed, gain in enumerate(gains):
            found = [("nothing", 0, 0.0), ("wiener", 0, 9.0), ("pca", 4, 3.0), ("sae", 4, gain - 0.5), ("sae", 4, gain + 0.5)]
            rows += [("blink", 0, name, k, value, value / 10, value / 5, method, seed) for name, k, value in found]
    columns = ["noise", "snr_db", "denoiser", "k", "snr_gain_db", "rrmse_time", "rrmse_spectrum", "method", "seed"]
    return pd.DataFrame(rows, columns=columns)


def test_methods_over_seeds_stand_beside_the_references() -> None:
    table = denoising_table(runs()).set_index("denoiser")
    assert list(table.index) == ["nothing", "wiener", "pca", "baseline", "mfr"]
    baseline = table.loc["baseline"]
    interval = stats.ttest_1samp(GAINS["baseline"], 0).confidence_interval(0.95)
    assert baseline[["snr_gain_db", "low", "high", "n"]].tolist() == pytest.approx([2.1, interval.low, interval.high, 3])
    assert baseline["over_pca_db"] == pytest.approx(-0.9) and baseline["over_pca_high"] == pytest.approx(interval.high - 3)
    assert table["verdict"].tolist()[3:] == ["worse", "better"]
    assert baseline["rrmse_time"] == pytest.approx(0.21) and table["over_pca_db"].isna().tolist() == [True] * 3 + [False] * 2


def test_one_seed_has_no_verdict() -> None:
    one = denoising_table(runs()[lambda table: table["seed"] == 0]).set_index("denoiser")
    assert one.loc["mfr", "verdict"] == "undecided" and np.isnan(one.loc["mfr", "low"]) and one.loc["mfr", "n"] == 1
