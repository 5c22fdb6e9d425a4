from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr import checkpoint
from mfr.errors import UserError
from mfr.matching import partners
from mfr.mutual import activity, unevenness, warmup
from mfr.params import Method, Penalty, Reinitialise, Train
from mfr.sae import Ensemble, encode, random_features
from mfr.store import Vectors
from mfr.training import Saving, Trainer
from tests.dense import dense_loss, dense_penalty

CPU = torch.device("cpu")
PENALTY = Penalty(matching="hungarian", alpha="balanced", alpha_factor=0.5, warmup=6, refresh=4)
REINIT = Reinitialise(statistic="absolute", threshold=0.1, check_every=3, check_steps=9, max_reinits=2)
METHODS = {"baseline": Method(), "mfr": Method(penalty=PENALTY), "both": Method(penalty=PENALTY, reinitialise=REINIT)}


def settings(**changes: object) -> Train:
    values = {"hidden": 24, "k": [3, 5], "batch": 32, "steps": 20, "learning_rate": 0.01, "log_every": 4} | changes
    return Train(**values)


@pytest.fixture
def data(dense_file) -> Path:
    return dense_file(np.random.default_rng(0).standard_normal((700, 10), dtype=np.float32))


def saving(tmp_path: Path, every_s: float = 1e9) -> Saving:
    return Saving(tmp_path / "checkpoints" / "run.safetensors", "key", every_s)


@pytest.mark.parametrize("method", ["baseline", "mfr"])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_training_equals_dense_autograd_with_plain_adamw(data: Path, tmp_path: Path, method: str, activation: str) -> None:
    chosen = settings(activation=activation)
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, chosen, METHODS[method], 7, CPU)
        start = Ensemble.random(chosen.k, chosen.hidden, 10, "topk", 7)
        trained = trainer.run(saving(tmp_path), 1e9)
        batches = list(islice(vectors.shuffled(chosen.batch, 7), chosen.steps))

    W, b = start.W.clone().requires_grad_(), start.b.clone().requires_grad_()
    optimizer = torch.optim.AdamW([W, b], lr=chosen.learning_rate, weight_decay=chosen.weight_decay, fused=False)
    partners: list[torch.Tensor] = []
    weight = 0.0
    for step, x in enumerate(batches):
        losses = [dense_loss(x, W[i], b[i], k, relu=activation == "topk_relu") for i, k in enumerate(chosen.k)]
        loss = torch.stack(losses).sum()
        if method == "mfr":
            if step % PENALTY.refresh == 0:
                trainer.mutual.match(W.detach())
                partners = list(trainer.mutual.partners)
            penalty = dense_penalty(W, partners)
            if step == 0:
                weight = 0.5 * torch.stack(losses).mean().item() / penalty.item()
            loss = loss + weight * warmup(step, PENALTY.warmup) * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert torch.allclose(trained.W, W, atol=2e-5) and torch.allclose(trained.b, b, atol=2e-5)
    assert trainer.progress.alpha == pytest.approx(weight, rel=1e-4)


class CutOffError(Exception):
    pass


class CutOffVectors(Vectors):
    """Vectors whose reader dies after `left` batches."""

    left = 0

    def shuffled(self, batch: int, seed: int) -> Iterator[torch.Tensor]:
        yield from islice(super().shuffled(batch, seed), self.left)
        raise CutOffError


@pytest.mark.parametrize("method", list(METHODS))
def test_a_run_cut_off_at_any_step_ends_bit_identical(data: Path, tmp_path: Path, method: str) -> None:
    with Vectors(data) as vectors:
        whole = Trainer(vectors, settings(), METHODS[method], 0, CPU)
        expected = whole.run(saving(tmp_path / "whole"), 1e9)
    for cut in (1, 6, 13, 19):
        place = saving(tmp_path / str(cut), every_s=0)
        with CutOffVectors(data) as dying, pytest.raises(CutOffError):
            dying.left = cut
            Trainer(dying, settings(), METHODS[method], 0, CPU).run(place, 1e9)
        with Vectors(data) as vectors:
            resumed = Trainer(vectors, settings(), METHODS[method], 0, CPU)
            ended = resumed.run(place, 1e9)
        assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)
        assert resumed.progress == whole.progress


def test_methods_of_one_seed_share_weights_and_order(data: Path) -> None:
    with Vectors(data) as vectors:
        first, second, other = (
            Trainer(vectors, settings(), METHODS[m], s, CPU) for m, s in (("baseline", 1), ("both", 1), ("baseline", 2))
        )
    assert torch.equal(first.saes.W, second.saes.W)
    assert not torch.equal(first.saes.W, other.saes.W)


def test_penalty_draws_features_together(data: Path, tmp_path: Path) -> None:
    strong = Method(penalty=PENALTY.model_copy(update={"alpha_factor": 50.0, "warmup": 0}))
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(steps=40), strong, 0, CPU)
        trainer.run(saving(tmp_path), 1e9)
    penalties = [row.penalty for row in trainer.progress.curves]
    assert penalties[-1] < 0.5 * penalties[0]


def test_uneven_saes_start_anew_from_fresh_weights_at_checks_only(data: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(reinitialise=REINIT), 0, CPU)
        for step, x in enumerate(islice(vectors.shuffled(32, 0), 15), start=1):
            before = list(trainer.progress.reinits)
            shares = [activity(encode(x, trainer.saes.W[i], trainer.saes.b[i], k, "topk")[1], 24) for i, k in enumerate((3, 5))]
            trainer.step(x)
            for sae, k in enumerate((3, 5)):
                due = step in (3, 6, 9) and before[sae] < 2 and unevenness(shares[sae], k, "absolute") > REINIT.threshold
                assert trainer.progress.reinits[sae] == before[sae] + due
                if due:
                    assert torch.equal(trainer.saes.W[sae], random_features(24, 10, 0, sae, before[sae] + 1))
                    state = trainer.optimizer.state[trainer.parameters[sae][0]]
                    assert all((state[name] == 0).all() for name in ("step", "exp_avg", "exp_avg_sq"))
    assert trainer.progress.reinits == [2, 2]


def test_an_sae_that_starts_anew_trains_like_one_with_a_fresh_optimizer(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6, "check_every": 3, "check_steps": 3})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(reinitialise=rule), 0, CPU)
        batches = list(islice(vectors.shuffled(32, 0), 8))
    for x in batches[:3]:
        trainer.step(x)
    W, b = random_features(24, 10, 0, 1, 1).requires_grad_(), torch.zeros(24, requires_grad=True)
    optimizer = torch.optim.AdamW([W, b], lr=0.01, weight_decay=0.01)
    for x in batches[3:]:
        trainer.step(x)
        optimizer.zero_grad()
        dense_loss(x, W, b, 5).backward()
        optimizer.step()
    assert trainer.progress.reinits == [1, 1]
    assert torch.allclose(trainer.saes.W[1], W, atol=1e-5) and torch.allclose(trainer.saes.b[1], b, atol=1e-5)


def test_an_sae_that_starts_anew_gets_partners_anew(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(penalty=PENALTY, reinitialise=rule), 0, CPU)
        for x in islice(vectors.shuffled(32, 0), 3):
            trainer.step(x)
    assert trainer.progress.reinits == [1, 1]
    assert torch.equal(trainer.mutual.partners[0], partners(trainer.saes.W[0], trainer.saes.W[1], "hungarian"))


@pytest.mark.parametrize("method", list(METHODS))
def test_nan_stops_with_step_and_sae(data: Path, tmp_path: Path, method: str) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(log_every=10), METHODS[method], 0, CPU)
        for x in islice(vectors.shuffled(32, 0), 5):
            trainer.step(x)
        trainer.saes.b[1, 3] = float("nan")
        with pytest.raises(UserError, match=r"at step 6 the loss of SAE 1 \(k = 5\) is nan"):
            for x in islice(vectors.shuffled(32, 0), 5, 10):
                trainer.step(x)


def test_a_checkpoint_that_is_cut_short_or_foreign_is_refused(data: Path, tmp_path: Path, capfd) -> None:
    place = saving(tmp_path, every_s=0)
    with Vectors(data) as vectors:
        Trainer(vectors, settings(steps=5), Method(), 0, CPU).run(place, 1e9)
        with pytest.raises(UserError, match="other parameters or inputs"):
            checkpoint.load(place.path, "another key")
        place.path.write_bytes(place.path.read_bytes()[:200])
        with pytest.raises(UserError, match="not a whole checkpoint"):
            checkpoint.load(place.path, "key")
        anew = Trainer(vectors, settings(), Method(), 0, CPU).run(place, 1e9)
        expected = Trainer(vectors, settings(), Method(), 0, CPU).run(saving(tmp_path / "other"), 1e9)
    assert "starting anew" in capfd.readouterr().err
    assert torch.equal(anew.W, expected.W)
