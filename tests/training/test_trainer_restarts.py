"""SAEs that restart, and dead latents that are revived."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from mfr.config.training import Method, Transplant
from mfr.mutual.matches import match
from mfr.saes.ensemble import encode, random_features, unevenness
from mfr.training.inputs import with_white_noise
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from tests.support.dense import dense_auxk, dense_loss, dense_reconstruction
from tests.support.small_training import AUXK, CPU, DYING, PENALTY, REINIT, settings


def test_uneven_saes_restart_from_fresh_weights_at_checks_only(data: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(reinitialise=REINIT), 0, CPU)
        for step, x in enumerate(islice(vectors.batches(32, 0), 15), start=1):
            before = list(trainer.progress.reinits)
            active = [encode(x, trainer.saes.W[i], trainer.saes.b[i], k, "topk")[1].flatten() for i, k in enumerate((3, 5))]
            shares = [indices.bincount(minlength=24) / 32 for indices in active]
            trainer.step(x)
            for sae, k in enumerate((3, 5)):
                due = step in (3, 6, 9) and before[sae] < 2 and unevenness(shares[sae], k, "absolute") > REINIT.threshold
                assert trainer.progress.reinits[sae] == before[sae] + due
                if due:
                    assert torch.equal(trainer.saes.W[sae], random_features(24, 10, 0, sae, before[sae] + 1))
                    state = trainer.optimizer.state[trainer.members[sae].W]
                    assert all((state[name] == 0).all() for name in ("step", "exp_avg", "exp_avg_sq"))
    assert trainer.progress.reinits == [2, 2]


def test_an_sae_that_restarts_trains_like_one_with_a_fresh_optimizer(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6, "check_every": 3, "check_steps": 3})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(reinitialise=rule), 0, CPU)
        batches = list(islice(vectors.batches(32, 0), 8))
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


def test_an_sae_that_restarts_has_no_dead_latents(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(**DYING), Method(reinitialise=rule), 0, CPU)
        for x in islice(vectors.batches(16, 0), 3):
            trainer.step(x)
    assert trainer.progress.reinits == [1, 1] and (trainer.idle == 0).all()


def test_an_sae_that_restarts_gets_new_partners(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(penalty=PENALTY, reinitialise=rule), 0, CPU)
        for x in islice(vectors.batches(32, 0), 3):
            trainer.step(x)
        assert trainer.progress.reinits == [1, 1]
        restarted = trainer.saes.W.clone()
        trainer.step(x)
    assert torch.equal(trainer.penalty.matches[0].columns, match(restarted, "hungarian", 0.0)[0].columns)


@pytest.mark.parametrize("noise_db", [None, 5.0])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_the_gradient_of_a_step_with_auxk_is_that_of_dense_autograd(
    data: Path, activation: str, noise_db: float | None
) -> None:
    chosen = settings(activation=activation, **DYING)
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, chosen, Method(auxk=AUXK, noise_db=noise_db), 0, CPU)
        *earlier, x = islice(vectors.batches(chosen.batch, 0), 5)
    for each in earlier:
        trainer.step(each)
    W, b, idle = trainer.saes.W.clone(), trainer.saes.b.clone(), trainer.idle + 1
    seen = with_white_noise(x, noise_db, seed=0, step=4)
    for i in range(len(idle)):
        idle[i, trainer.saes.encode(i, seen)[1].unique()] = 0
    dead = idle >= AUXK.dead_after
    assert (dead != (trainer.idle + 1 >= AUXK.dead_after)).any()  # some come back to life in this batch
    trainer.step(x)
    assert (dead.sum(dim=1) > 10).all()
    for i, k in enumerate(chosen.k):
        W_i, b_i = W[i].requires_grad_(), b[i].requires_grad_()
        error = (x - dense_reconstruction(seen, W_i, b_i, k, activation == "topk_relu")).detach()
        loss = dense_loss(seen, W_i, b_i, k, activation == "topk_relu", target=x)
        loss = loss + dense_auxk(seen, error, W_i[dead[i]], b_i[dead[i]], AUXK.k, AUXK.weight, target=x)
        d_W, d_b = torch.autograd.grad(loss, [W_i, b_i])
        assert (trainer.d_W[i, dead[i]].norm(dim=1) > 0).any()
        assert torch.allclose(trainer.d_W[i], d_W, atol=1e-6) and torch.allclose(trainer.d_b[i], d_b, atol=1e-6)


@pytest.mark.parametrize("moments", ["donor", "zero"])
def test_dead_latents_become_the_partners_strangest_live_features(data: Path, moments: str) -> None:
    rule = Transplant(every=3, most=2, dead_after=2, moments=moments)
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(transplant=rule), 0, CPU)
        trainer.saes.b[0, :5] = -100
        for x in islice(vectors.batches(32, 0), 3):
            trainer.step(x)
    changed = (trainer.saes.b[0, :5] > -50).nonzero().flatten()
    assert changed.tolist() == [0, 1] and (trainer.idle[0, :2] == 0).all() and (trainer.idle[0, 2:5] == 3).all()
    nearest = torch.cosine_similarity(trainer.saes.W[1][:, None], trainer.saes.W[0, 5:][None], dim=2).amax(dim=1)
    nearest[trainer.idle[1] >= 2] = 2
    strangest = nearest.argsort()[:2]
    assert torch.equal(trainer.saes.W[0, :2], trainer.saes.W[1, strangest])
    assert torch.equal(trainer.saes.b[0, :2], trainer.saes.b[1, strangest])
    own, given = (trainer.optimizer.state[member.W]["exp_avg_sq"] for member in trainer.members)
    assert torch.equal(own[:2], given[strangest] * (moments == "donor")) and (given[strangest] > 0).any()


def test_nothing_is_transplanted_after_the_last_step(data: Path) -> None:
    """It would be evaluated without a step in which it fits in."""
    rule = Transplant(every=3, most=2, dead_after=2)
    revived = {}
    with Vectors(data) as vectors:
        for steps in (6, 7):
            trainer = Trainer(vectors, settings(steps=steps), Method(transplant=rule), 0, CPU)
            trainer.saes.b[0, :5] = -100
            for x in islice(vectors.batches(32, 0), 6):
                trainer.step(x)
            revived[steps] = (trainer.saes.b[0, :5] > -50).nonzero().flatten().tolist()
    assert revived == {6: [0, 1], 7: [0, 1, 2, 3]}
