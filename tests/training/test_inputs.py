from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr.config.synthetic import GenerateSynthetic
from mfr.evaluation.metrics import sum_over
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.training.inputs import DRAWN_BATCHES, ROWS_AT_ONCE, measured, raw
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from stages import generate_synthetic
from tests.support.dense import dense_reconstruction
from tests.support.small_training import CPU, DYING, METHODS, saving, settings

SHIFT = np.linspace(-3, 5, 10, dtype=np.float32)


@pytest.fixture
def rows() -> np.ndarray:
    """Vectors (2500, 10) with a mean and elements of several sizes."""
    noise = np.random.default_rng(0).standard_normal((2500, 10), dtype=np.float32)
    return noise * np.geomspace(0.2, 4, 10, dtype=np.float32) + SHIFT


def plainly_scaled(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    mean = rows.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(((rows - mean) ** 2).mean())
    return (rows - mean.astype(np.float32)) / np.float32(scale), mean, scale


def test_scaled_vectors_have_mean_zero_and_unit_mean_square(rows: np.ndarray, dense_file: Callable[..., Path]) -> None:
    with Vectors(dense_file(rows)) as vectors:
        scaling = measured(vectors, seed=0)
    scaled, mean, scale = plainly_scaled(rows)
    assert np.allclose(scaling.mean, mean, rtol=1e-6) and scaling.scale == pytest.approx(scale, rel=1e-9)
    assert np.allclose(scaling.apply_(torch.from_numpy(rows.copy())), scaled, atol=1e-5)


def test_drawn_vectors_are_scaled_by_their_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = GenerateSynthetic(dimension=10, features=24, groups=4, train_rows=None, heldout_rows=5)
    generate_synthetic.run(drawn, tmp_path / "train.h5", tmp_path / "heldout.h5")
    with Vectors(tmp_path / "train.h5") as vectors:
        scaling = measured(vectors, seed=3)
        first = next(vectors.batches(DRAWN_BATCHES * ROWS_AT_ONCE, 3)).numpy()
    _, mean, scale = plainly_scaled(first)
    assert np.allclose(scaling.mean, mean, rtol=1e-5) and scaling.scale == pytest.approx(scale, rel=1e-6)


def test_vectors_that_do_not_vary_are_refused(dense_file: Callable[..., Path]) -> None:
    with (
        Vectors(dense_file(np.full((50, 10), 0.3, np.float32))) as vectors,
        pytest.raises(UserError, match="50 rows do not vary"),
    ):
        measured(vectors, seed=0)


@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_folded_saes_do_to_vectors_what_they_did_to_scaled_ones(
    rows: np.ndarray, dense_file: Callable[..., Path], activation: str
) -> None:
    saes = Ensemble.random([2, 6], 24, 10, activation, seed=0)
    saes.W *= torch.linspace(0.5, 2, 24)[:, None]
    saes.b += torch.randn(2, 24, generator=torch.Generator().manual_seed(0))
    with Vectors(dense_file(rows)) as vectors:
        folded = measured(vectors, seed=0).folded(saes)
        errors = sum_over(vectors, folded).squared_error
    x, (scaled, mean, scale) = torch.from_numpy(rows), plainly_scaled(rows)
    for i, k in enumerate(saes.k):
        dense = dense_reconstruction(
            torch.from_numpy(scaled).double(), saes.W[i].double(), saes.b[i].double(), k, "relu" in activation
        )
        expected = (scale * dense + torch.from_numpy(mean)).float()
        assert torch.allclose(folded.reconstruct(i, x), expected, rtol=1e-5, atol=1e-5)
        assert errors[i].item() == pytest.approx((expected - x).square().sum().item(), rel=1e-5)


def test_vectors_that_stay_raw_leave_saes_as_they_are() -> None:
    saes = Ensemble.random([2, 6], 24, 10, "topk", seed=0)
    saes.b += torch.randn(2, 24)
    folded = raw(10).folded(saes)
    assert torch.equal(folded.W, saes.W) and torch.equal(folded.b, saes.b) and not folded.offset.any()


@pytest.mark.parametrize("method", ["baseline", "mfr", "revived"])
def test_training_on_scaled_inputs_is_training_on_scaled_vectors(
    rows: np.ndarray, dense_file: Callable[..., Path], tmp_path: Path, method: str
) -> None:
    chosen = settings(**(DYING if method == "revived" else {}))
    scaled, mean, scale = plainly_scaled(rows)
    with Vectors(dense_file(rows)) as vectors, Vectors(dense_file(scaled, "scaled.h5")) as scaled_vectors:
        trainer = Trainer(vectors, chosen, METHODS[method].model_copy(update={"inputs": "scaled"}), 0, CPU)
        folded = trainer.run(saving(tmp_path / "scaled"))
        plain = Trainer(scaled_vectors, chosen, METHODS[method], 0, CPU)
        expected = plain.run(saving(tmp_path / "plain"))
    assert torch.allclose(folded.W, expected.W, atol=1e-6)
    bias = scale * expected.b.double() - expected.W.double() @ torch.from_numpy(mean)
    assert torch.allclose(folded.b.double(), bias, atol=1e-5) and np.allclose(folded.offset, mean, rtol=1e-6)
    if trainer.penalty:
        assert trainer.penalty.alpha == pytest.approx(plain.penalty.alpha, rel=1e-6)
    for row, other in zip(trainer.progress.curves, plain.progress.curves, strict=True):
        assert row.mse == pytest.approx(scale**2 * other.mse, rel=1e-6) and row.dead == other.dead
    assert method != "revived" or (torch.equal(trainer.idle, plain.idle) and (trainer.idle >= 2).any())


def test_the_error_of_curves_is_that_of_the_vectors_as_they_are(
    rows: np.ndarray, dense_file: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = settings(inputs="scaled", steps=6, learning_rate=1e-9)
    with Vectors(dense_file(rows)) as vectors:
        trainer = Trainer(vectors, chosen, METHODS["baseline"], 0, CPU)
        saes = trainer.run(saving(tmp_path))
        (x,) = islice(vectors.batches(chosen.batch, 0), 5, 6)
    for row, i in zip(trainer.progress.curves[-2:], (0, 1), strict=True):
        assert row.mse == pytest.approx((saes.reconstruct(i, x) - x).square().mean().item(), rel=1e-4)
