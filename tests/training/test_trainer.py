import re
from contextlib import ExitStack, closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
import torch

from mfr.config.training import AuxK, Method
from mfr.mutual.penalty import pull, warmup
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.saes.step_gpu import EnsembleStep
from mfr.training.curves import DEAD_STEPS, is_logged
from mfr.training.trainer import RATE_STEPS, Trainer
from mfr.vectors.reader import Vectors
from tests.support.dense import dense_loss, dense_penalty, dense_weights
from tests.support.gpu import CUDA, needs_gpu, without_waiting
from tests.support.small_training import CPU, DYING, METHODS, PENALTY, saving, settings


@pytest.mark.parametrize("method", ["baseline", "mfr", "dead", "live", "linear"])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_training_equals_dense_autograd_with_plain_adamw(data: Path, tmp_path: Path, method: str, activation: str) -> None:
    # With one active latent the gradient of its bias is zero at first: rounding, which Adam would turn into steps.
    chosen = settings(activation=activation, **{"k": [2, 3], "batch": 16} if method in ("dead", "live") else {})
    own = {"alpha": "relative", "dead_after": 2, "max_gap": 0.0}
    methods = METHODS | {"linear": Method(schedule="linear", learning_rate=0.02, steps=13)}
    methods |= {name: Method(penalty=PENALTY.model_copy(update=own | {"latents": name})) for name in ("dead", "live")}
    steps = 13 if method == "linear" else chosen.steps
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, chosen, methods[method], 7, CPU)
        start = Ensemble.random(chosen.k, chosen.hidden, 10, "topk", 7)
        trained = trainer.run(saving(tmp_path))
        batches = list(islice(vectors.batches(chosen.batch, 7), steps))

    W, b = start.W.clone().requires_grad_(), start.b.clone().requires_grad_()
    optimizer = torch.optim.AdamW([W, b], lr=chosen.learning_rate, weight_decay=chosen.weight_decay, fused=False)
    weights: list[torch.Tensor] = []
    weight, idle, some_dead = 0.0, torch.zeros(start.b.shape), False
    for step, x in enumerate(batches):
        losses = [dense_loss(x, W[i], b[i], k, relu=activation == "topk_relu") for i, k in enumerate(chosen.k)]
        for i, k in enumerate(chosen.k):
            used = torch.bincount((x @ W[i].T + b[i]).topk(k).indices.flatten(), minlength=chosen.hidden) > 0
            idle[i] = torch.where(used, 0, idle[i] + 1)
        pulled = torch.zeros_like(W)
        if methods[method].penalty:
            if step % PENALTY.refresh == 0:
                weights = dense_weights(W.detach(), "hungarian")
            penalty = dense_penalty(W, weights)
            if step == 0:
                weight = 0.5 / penalty.item() * (torch.stack(losses).mean().item() if method == "mfr" else 1)
            pulled = weight * warmup(step, PENALTY.warmup) * torch.autograd.grad(penalty, W)[0]
        if method in ("dead", "live"):
            pulled *= torch.stack(losses).detach()[:, None, None]
            dead = idle >= 2
            some_dead |= bool(dead.any())
            pulled *= (dead == (method == "dead"))[:, :, None]
        if method == "linear":
            optimizer.param_groups[0]["lr"] = 0.02 * (steps - step) / steps
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        W.grad += pulled
        optimizer.step()

    # Adam turns the rounding of a gradient that is almost zero, as a rare latent's, into a step: single elements may differ.
    assert (trained.W - W).norm() < 1e-3 * (W - start.W).norm() and (trained.b - b).norm() < 0.02 * b.norm()
    assert (trainer.penalty.alpha if trainer.penalty else 0) == pytest.approx(weight, rel=1e-4)
    assert some_dead or method not in ("dead", "live")


def test_methods_of_one_seed_share_weights_and_order(data: Path) -> None:
    with Vectors(data) as vectors:
        first, second, other = (
            Trainer(vectors, settings(), METHODS[m], s, CPU) for m, s in (("baseline", 1), ("both", 1), ("baseline", 2))
        )
        orders = [torch.cat(list(islice(trainer.batches(0), 4))) for trainer in (first, second, other)]
    assert torch.equal(first.saes.W, second.saes.W) and torch.equal(orders[0], orders[1])
    assert not torch.equal(first.saes.W, other.saes.W) and not torch.equal(orders[0], orders[2])


def test_auxk_may_take_as_many_latents_as_the_sae_has(data: Path, tmp_path: Path) -> None:
    def weights(k: int | Literal["same"]) -> torch.Tensor:
        with Vectors(data) as vectors:
            trainer = Trainer(vectors, settings(**DYING | {"k": [2, 2]}), Method(auxk=AuxK(k=k, dead_after=2)), 0, CPU)
            return trainer.run(saving(tmp_path / str(k))).W

    assert torch.equal(weights("same"), weights(2))
    assert not torch.equal(weights("same"), weights(1))


def test_penalty_draws_features_together(data: Path, tmp_path: Path) -> None:
    strong = Method(penalty=PENALTY.model_copy(update={"alpha_factor": 50.0, "warmup": 0}))
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(steps=40), strong, 0, CPU)
        trainer.run(saving(tmp_path))
    penalties = [row.penalty for row in trainer.progress.curves]
    assert penalties[-1] < 0.5 * penalties[0]


def test_dead_latents_of_a_row_were_not_active_in_the_last_steps(data: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(**DYING, steps=DEAD_STEPS + 10), Method(), 0, CPU)
        trainer.saes.b[0, :5] = -100
        last = torch.zeros(trainer.saes.b.shape)
        for step, x in enumerate(islice(vectors.batches(16, 0), DEAD_STEPS + 10), start=1):
            for i in range(len(last)):
                last[i, trainer.saes.encode(i, x)[1].unique()] = step
            trainer.step(x)
    expected = {
        (row.step, i): (row.step - last[i] >= DEAD_STEPS).float().mean().item()
        for row in trainer.progress.curves[-2:]
        for i in range(len(last))
    }
    assert {(row.step, row.sae): row.dead for row in trainer.progress.curves[-2:]} == pytest.approx(expected)
    assert 0 < expected[DEAD_STEPS + 10, 0] < 1
    assert all(row.dead == 0 for row in trainer.progress.curves if row.step < DEAD_STEPS)


def test_rows_say_how_alike_the_features_are_where_asked(data: Path, tmp_path: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(measure_every=2), Method(), 0, CPU)
        trainer.run(saving(tmp_path))
    measured = [row.step for row in trainer.progress.curves if row.across is not None]
    assert sorted(set(measured)) == [8, 16, 20]


@pytest.mark.parametrize("method", list(METHODS))
def test_nan_stops_with_step_and_sae(data: Path, tmp_path: Path, method: str) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(log_every=10), METHODS[method], 0, CPU)
        for x in islice(vectors.batches(32, 0), 5):
            trainer.step(x)
        trainer.saes.b[1, 3] = float("nan")
        with pytest.raises(UserError, match=r"at step 6 the loss of SAE 1 \(k = 5\) is nan"):
            for x in islice(vectors.batches(32, 0), 5, 10):
                trainer.step(x)


@pytest.mark.parametrize("refresh", [1, 5])
@pytest.mark.parametrize("max_gap", [0.0, 0.005])
def test_bad_weights_at_a_matching_stop_with_step_and_sae(data: Path, refresh: int, max_gap: float) -> None:
    method = Method(penalty=PENALTY.model_copy(update={"refresh": refresh, "max_gap": max_gap}))
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(log_every=10), method, 0, CPU)
        for x in islice(vectors.batches(32, 0), 5):
            trainer.step(x)
        trainer.saes.W[1, 3] = float("nan")
        with pytest.raises(UserError, match=r"at step 6 the loss of SAE 1 \(k = 5\) is nan"):
            trainer.step(x)


def test_an_exploding_loss_is_named_before_it_is_infinite(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(learning_rate=1e6, weight_decay=1e-5), Method(), 0, CPU)
        for x in islice(vectors.batches(32, 0), 12):
            trainer.step(x)
    lines = [line for line in capfd.readouterr().err.splitlines() if "explodes" in line]
    assert len(lines) == 2 and "the loss of SAE 0 (k = 3)" in lines[0] and "over 1000 times its first" in lines[0]


@pytest.mark.parametrize("matching", ["hungarian", "max"])
def test_the_curves_show_what_stale_partners_lost(data: Path, tmp_path: Path, matching: str) -> None:
    method = Method(penalty=PENALTY.model_copy(update={"matching": matching, "refresh": 4}))
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(log_every=1, learning_rate=0.05), method, 0, CPU)
        trainer.run(saving(tmp_path))
    stale = {row.step: row.stale for row in trainer.progress.curves}
    assert all(stale[step] == 0 for step in range(1, 5)) and max(stale.values()) > 1e-4 and min(stale.values()) > -1e-6
    assert all(stale[step] == stale[step + 3] for step in (5, 9, 13, 17))


@pytest.mark.parametrize("method", list(METHODS))
def test_the_step_of_a_gpu_trains_like_that_of_the_cpu(data: Path, method: str) -> None:
    with Vectors(data) as vectors:
        compiled, at_once = (Trainer(vectors, settings(), METHODS[method], 0, CPU) for _ in range(2))
        at_once.losses_and_gradients = EnsembleStep(at_once.saes, at_once.d_W, at_once.d_b)
        if at_once.penalty:
            at_once.penalty.pull = pull
        for x in islice(vectors.batches(32, 0), 20):
            compiled.step(x)
            at_once.step(x)
    assert torch.allclose(compiled.saes.W, at_once.saes.W, atol=1e-3) and torch.equal(compiled.idle, at_once.idle)


LIVE = Method(penalty=PENALTY.model_copy(update={"alpha": "relative", "latents": "live"}), schedule="linear", inputs="scaled")


@needs_gpu
@pytest.mark.parametrize("method", [METHODS["baseline"], METHODS["mfr"], LIVE], ids=["baseline", "mfr", "live"])
def test_training_on_a_gpu_is_near_that_on_the_cpu_and_waits_at_logs_and_matchings_only(data: Path, method: Method) -> None:
    with Vectors(data) as vectors, ExitStack() as stack:
        cpu, gpu = (Trainer(vectors, settings(log_every=50), method, 0, device) for device in (CPU, CUDA))
        batches = [stack.enter_context(closing(trainer.batches(0))) for trainer in (cpu, gpu)]
        for done in range(20):
            may_wait = done % PENALTY.refresh == 0 or is_logged(done + 1, gpu.settings)
            cpu.step(next(batches[0]))
            with nullcontext() if may_wait else without_waiting():
                gpu.step(next(batches[1]))
    assert torch.allclose(cpu.saes.W, gpu.saes.W.cpu(), atol=1e-3)


@needs_gpu
def test_a_run_on_a_gpu_resumes_bit_for_bit(data: Path, tmp_path: Path) -> None:
    with Vectors(data) as vectors:
        whole, begun, resumed = (Trainer(vectors, settings(), METHODS["mfr"], 0, CUDA) for _ in range(3))
        expected = whole.run(saving(tmp_path / "whole"))
        with closing(begun.batches(0)) as batches:
            for x in islice(batches, 11):
                begun.step(x)
        begun.save(saving(tmp_path / "begun"))
        assert torch.equal(resumed.run(saving(tmp_path / "begun")).W, expected.W)
    assert resumed.progress.curves == whole.progress.curves


def test_time_left_is_shown_once_the_rate_is_known(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Vectors(data) as vectors:
        Trainer(vectors, settings(steps=RATE_STEPS + 5), Method(), 0, CPU).run(saving(tmp_path), log_s=1e-9)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == RATE_STEPS + 5
    assert not any("left" in line or "steps/s" in line for line in lines[:RATE_STEPS])
    assert all(re.search(r"  [\d.]+ steps/s  \d+ s left  mse ", line) for line in lines[RATE_STEPS:])
