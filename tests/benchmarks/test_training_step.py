import pytest

from benchmarks import training_step
from benchmarks.training_step import Shape, measure
from mfr.config.training import Train


@pytest.mark.parametrize("drawn", [True, False])
def test_the_benchmark_measures_a_small_shape(drawn: bool, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    train = Train(hidden=64, k=[4, 6], batch=50, steps=1000, learning_rate=0.001)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(training_step.SHAPES, "T", Shape(size=32, train=train, drawn=drawn))
    figures = measure("T", rounds=2, threads=1)
    assert figures.saelens_over_baseline is None
    assert figures.baseline_over_gemm == pytest.approx(figures.baseline_ms / figures.gemm_ms) and figures.baseline_over_gemm > 1
    assert figures.data_share < 1 and figures.mfr_over_baseline > 0.5 and figures.dense_over_baseline > 0
    assert figures.peak_rss_mb > 0 and figures.evaluate_over_300_steps > 0
