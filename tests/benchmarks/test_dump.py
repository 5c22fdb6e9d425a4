import pytest
from transformers import GPT2Config

from benchmarks import dump
from mfr.config.language_model import DumpActivations
from tests.support.models import CONTEXT


def test_the_benchmark_measures_a_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "DOCUMENTS", 60)
    config = GPT2Config(vocab_size=512, n_positions=CONTEXT, n_embd=8, n_layer=1, n_head=2)
    settings = DumpActivations(context=CONTEXT, train_tokens=100, heldout_tokens=30, batch=2)
    figures = dump.measure(config, settings, rounds=2, threads=1)
    assert figures.tokens == (7 + 2) * CONTEXT
    assert figures.dump_over_hook == pytest.approx(figures.dump_tokens_per_s / figures.hook_tokens_per_s)
    assert 0 < figures.model_mb < 1 and figures.peak_rss_mb > 0
