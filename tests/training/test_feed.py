from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.config.synthetic import GenerateSynthetic
from mfr.training import feed
from mfr.training.inputs import measured, raw
from mfr.vectors.reader import Vectors
from stages import generate_synthetic
from tests.support.gpu import CUDA, needs_gpu, without_waiting
from tests.support.small_training import CPU, settings


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose vectors are drawn as they are used."""
    monkeypatch.chdir(tmp_path)
    chosen = GenerateSynthetic(dimension=10, features=60_000, groups=4, train_rows=None, heldout_rows=5)
    generate_synthetic.run(chosen, tmp_path / "train.h5", tmp_path / "heldout.h5")
    return tmp_path / "train.h5"


def test_combined_codes_are_the_batches_that_the_cpu_draws(drawn: Path) -> None:
    with Vectors(drawn) as vectors:
        expected = next(vectors.batches(500, seed=3, first=2))
        active, coefficients = next(vectors.codes(500, seed=3, first=2))
        found = feed.combined(vectors.features, torch.from_numpy(active.view(np.int16)), torch.from_numpy(coefficients))
    assert active.max() >= 1 << 15  # beyond int16
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("inputs", ["raw", "scaled"])
def test_batches_are_the_readers_and_scaled_where_asked(data: Path, inputs: str) -> None:
    with Vectors(data) as vectors:
        scaling = measured(vectors, 0) if inputs == "scaled" else raw(vectors.size)
        with closing(feed.batches(vectors, settings(inputs=inputs), scaling, 5, 3, CPU)) as batches:
            found = list(islice(batches, 4))
        expected = list(islice(vectors.batches(32, 5, 3), 4))
    assert len(found) == 4 and all(torch.equal(x, (y - scaling.mean) / scaling.scale) for x, y in zip(found, expected))


@needs_gpu
@pytest.mark.parametrize("inputs", ["raw", "scaled"])
@pytest.mark.parametrize("file", ["data", "drawn"])
def test_batches_on_a_gpu_are_near_those_of_the_cpu_and_keep_nobody_waiting(
    file: str, inputs: str, request: pytest.FixtureRequest
) -> None:
    with Vectors(request.getfixturevalue(file)) as vectors:
        scaling = measured(vectors, 0) if inputs == "scaled" else raw(vectors.size)
        chosen = settings(inputs=inputs)
        with (
            closing(feed.batches(vectors, chosen, scaling, 5, 3, CPU)) as here,
            closing(feed.batches(vectors, chosen, scaling, 5, 3, CUDA)) as there,
        ):
            assert torch.allclose(next(here), next(there).cpu(), atol=1e-5)
            with without_waiting():
                later = list(islice(there, 6))
            assert all(torch.allclose(x, y.cpu(), atol=1e-5) for x, y in zip(islice(here, 6), later, strict=True))
