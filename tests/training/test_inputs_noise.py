from pathlib import Path

import pytest
import torch

from mfr.config.training import Method
from mfr.training.inputs import with_white_noise
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from tests.support.dense import dense_loss
from tests.support.small_training import CPU, saving, settings


def test_each_row_has_the_ratio_that_was_asked_and_no_other_rows_noise() -> None:
    x = (
        torch.randn(6, 20_000, generator=torch.Generator().manual_seed(0))
        * torch.tensor([0.01, 0.1, 1, 10, 100, 1000])[:, None]
    )
    for level in (-5.0, 10.0):
        added = with_white_noise(x, level, seed=1, step=2) - x
        found = 10 * torch.log10(x.square().mean(dim=1) / added.square().mean(dim=1))
        assert torch.allclose(found, torch.tensor(level), atol=0.3)
        assert torch.corrcoef(torch.cat([added, x])).fill_diagonal_(0).abs().max() < 0.05


def test_noise_depends_on_seed_and_step_only() -> None:
    x = torch.ones(4, 5)
    first, again = with_white_noise(x, 0.0, 1, 2), with_white_noise(x, 0.0, 1, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, with_white_noise(x, 0.0, 1, 3)) and not torch.equal(first, with_white_noise(x, 0.0, 2, 2))
    assert with_white_noise(x, None, 1, 2) is x


def test_the_first_step_follows_the_gradient_of_noisy_input_and_clean_target(data: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(noise_db=3.0), Method(), 0, CPU)
        before = [(own.W.clone().requires_grad_(), own.b.clone().requires_grad_()) for own in trainer.members]
        x = next(trainer.batches(0))
        trainer.step(x)
    seen = with_white_noise(x, 3.0, 0, 0)
    for (W, b), trained, k in zip(before, trainer.members, trainer.saes.k, strict=True):
        loss = dense_loss(seen, W, b, k, target=x)
        loss.backward()
        assert torch.allclose(trained.d_W, W.grad, atol=1e-6) and not torch.allclose(x, seen)
    assert trainer.watch.losses[-1][-1].item() == pytest.approx(loss.item(), rel=1e-5)


def test_a_method_may_have_noise_of_its_own_and_none_is_as_ever(data: Path, tmp_path: Path) -> None:
    with Vectors(data) as vectors:
        runs = [
            Trainer(vectors, settings(steps=4, noise_db=noise), Method(noise_db=own), 0, CPU).run(saving(tmp_path / str(i)))
            for i, (noise, own) in enumerate([(None, None), (5.0, None), (None, 5.0), (0.0, 5.0)])
        ]
    assert not torch.equal(runs[0].W, runs[1].W)
    assert torch.equal(runs[1].W, runs[2].W) and torch.equal(runs[1].W, runs[3].W)
