from benchmarks.memory import measure


def test_peaks_of_a_small_training_are_measured() -> None:
    peaks = measure(hidden=96, size=32, k=4, batch=50)
    assert 0 < peaks.make_gb < 3 and 0 < peaks.checkpoint_gb < 0.001
    assert min(peaks.step_gb, peaks.save_gb, peaks.resume_gb, peaks.resumed_step_gb, peaks.mfr_step_gb) > 0.1
