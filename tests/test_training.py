import signal
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr import checkpoint
from mfr.errors import UserError
from mfr.interruption import Interrupted
from mfr.method import AuxK, Method, Penalty, Reinitialise, Train, Transplant
from mfr.mutual import match, unevenness, warmup
from mfr.params import GenerateSynthetic
from mfr.sae import Ensemble, encode, random_features
from mfr.store import Vectors
from mfr.training import Saving, Trainer
from stages import generate_synthetic
from tests.dense import dense_auxk, dense_loss, dense_penalty, dense_reconstruction, dense_weights

CPU = torch.device("cpu")
PENALTY = Penalty(matching="hungarian", alpha="balanced", alpha_factor=0.5, warmup=6, refresh=4)
REINIT = Reinitialise(statistic="absolute", threshold=0.1, check_every=3, check_steps=9, max_reinits=2)
AUXK = AuxK(k=2, dead_after=2)
METHODS = {
    "baseline": Method(),
    "mfr": Method(penalty=PENALTY),
    "both": Method(penalty=PENALTY, reinitialise=REINIT),
    "revived": Method(auxk=AUXK, transplant=Transplant(every=3, most=1, dead_after=2), schedule="linear", learning_rate=0.02),
}
DYING = {"hidden": 96, "k": [1, 2], "batch": 16}  # settings with which latents die within the steps of a test


def settings(**changes: object) -> Train:
    values = {"hidden": 24, "k": [3, 5], "batch": 32, "steps": 20, "learning_rate": 0.01, "log_every": 4} | changes
    return Train(**values)


@pytest.fixture
def data(dense_file) -> Path:
    return dense_file(np.random.default_rng(0).standard_normal((700, 10), dtype=np.float32))


def saving(tmp_path: Path, every_s: float = 1e9) -> Saving:
    return Saving(tmp_path / "checkpoints" / "run.safetensors", "key", every_s)


@pytest.mark.parametrize("method", ["baseline", "mfr", "linear"])
@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_training_equals_dense_autograd_with_plain_adamw(data: Path, tmp_path: Path, method: str, activation: str) -> None:
    chosen = settings(activation=activation)
    methods = METHODS | {"linear": Method(schedule="linear", learning_rate=0.02)}
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, chosen, methods[method], 7, CPU)
        start = Ensemble.random(chosen.k, chosen.hidden, 10, "topk", 7)
        trained = trainer.run(saving(tmp_path))
        batches = list(islice(vectors.batches(chosen.batch, 7), chosen.steps))

    W, b = start.W.clone().requires_grad_(), start.b.clone().requires_grad_()
    optimizer = torch.optim.AdamW([W, b], lr=chosen.learning_rate, weight_decay=chosen.weight_decay, fused=False)
    weights: list[torch.Tensor] = []
    weight = 0.0
    for step, x in enumerate(batches):
        losses = [dense_loss(x, W[i], b[i], k, relu=activation == "topk_relu") for i, k in enumerate(chosen.k)]
        loss = torch.stack(losses).sum()
        if method == "mfr":
            if step % PENALTY.refresh == 0:
                weights = dense_weights(W.detach(), "hungarian")
            penalty = dense_penalty(W, weights)
            if step == 0:
                weight = 0.5 * torch.stack(losses).mean().item() / penalty.item()
            loss = loss + weight * warmup(step, PENALTY.warmup) * penalty
        if method == "linear":
            optimizer.param_groups[0]["lr"] = 0.02 * (chosen.steps - step) / chosen.steps
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

    def batches(self, batch: int, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
        yield from islice(super().batches(batch, seed, first), self.left - first)
        raise CutOffError


@pytest.mark.parametrize("method", list(METHODS))
def test_a_run_cut_off_at_any_step_ends_bit_identical(data: Path, tmp_path: Path, method: str) -> None:
    chosen = settings(**(DYING if method == "revived" else {}))
    with Vectors(data) as vectors:
        whole = Trainer(vectors, chosen, METHODS[method], 0, CPU)
        expected = whole.run(saving(tmp_path / "whole"))
    for cut in (1, 6, 13, 19):
        place = saving(tmp_path / str(cut), every_s=0)
        with CutOffVectors(data) as dying, pytest.raises(CutOffError):
            dying.left = cut
            Trainer(dying, chosen, METHODS[method], 0, CPU).run(place)
        with Vectors(data) as vectors:
            resumed = Trainer(vectors, chosen, METHODS[method], 0, CPU)
            ended = resumed.run(place)
        assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)
        assert resumed.progress == whole.progress
        assert torch.equal(resumed.idle, whole.idle) and (method != "revived" or (whole.idle >= 2).any())


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
        trainer.run(saving(tmp_path))
    penalties = [row.penalty for row in trainer.progress.curves]
    assert penalties[-1] < 0.5 * penalties[0]


def test_uneven_saes_start_anew_from_fresh_weights_at_checks_only(data: Path) -> None:
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
                    state = trainer.optimizer.state[trainer.parameters[sae][0]]
                    assert all((state[name] == 0).all() for name in ("step", "exp_avg", "exp_avg_sq"))
    assert trainer.progress.reinits == [2, 2]


def test_an_sae_that_starts_anew_trains_like_one_with_a_fresh_optimizer(data: Path) -> None:
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


def test_an_sae_that_starts_anew_has_no_dead_latents(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(**DYING), Method(reinitialise=rule), 0, CPU)
        for x in islice(vectors.batches(16, 0), 3):
            trainer.step(x)
    assert trainer.progress.reinits == [1, 1] and (trainer.idle == 0).all()


def test_inactive_latents_of_a_row_were_in_no_batch_since_the_row_before(data: Path, tmp_path: Path) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(**DYING, log_every=3, steps=6), Method(), 0, CPU)
        seen: set[int] = set()
        for step, x in enumerate(islice(vectors.batches(16, 0), 6), start=1):
            # Rows: step 3, the early one 5, and 6.
            seen = set() if step in (4, 6) else seen
            seen |= set(trainer.saes.encode(0, x)[1].flatten().tolist())
            trainer.step(x)
            if step in (3, 5, 6):
                row = trainer.progress.curves[-2]
                assert row.step == step and row.inactive == pytest.approx(1 - len(seen) / 96)


def test_an_sae_that_starts_anew_gets_partners_anew(data: Path) -> None:
    rule = REINIT.model_copy(update={"threshold": 1e-6})
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(), Method(penalty=PENALTY, reinitialise=rule), 0, CPU)
        for x in islice(vectors.batches(32, 0), 3):
            trainer.step(x)
        assert trainer.progress.reinits == [1, 1]
        anew = trainer.saes.W.clone()
        trainer.step(x)
    assert torch.equal(trainer.matches[0].columns, match(anew, "hungarian", 0.0)[0].columns)


@pytest.mark.parametrize("activation", ["topk", "topk_relu"])
def test_the_gradient_of_a_step_with_auxk_is_that_of_dense_autograd(data: Path, activation: str) -> None:
    chosen = settings(activation=activation, **DYING)
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, chosen, Method(auxk=AUXK), 0, CPU)
        *earlier, x = islice(vectors.batches(chosen.batch, 0), 5)
    for each in earlier:
        trainer.step(each)
    W, b, dead = trainer.saes.W.clone(), trainer.saes.b.clone(), trainer.idle >= AUXK.dead_after
    trainer.step(x)
    assert (dead.sum(dim=1) > 10).all()
    for i, k in enumerate(chosen.k):
        W_i, b_i = W[i].requires_grad_(), b[i].requires_grad_()
        error = (x - dense_reconstruction(x, W_i, b_i, k, activation == "topk_relu")).detach()
        loss = dense_loss(x, W_i, b_i, k, activation == "topk_relu")
        loss = loss + dense_auxk(x, error, W_i[dead[i]], b_i[dead[i]], AUXK.k, AUXK.weight)
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
    own, given = (trainer.optimizer.state[W]["exp_avg_sq"] for W, _ in trainer.parameters)
    assert torch.equal(own[:2], given[strangest] * (moments == "donor")) and (given[strangest] > 0).any()


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


def test_a_checkpoint_that_is_cut_short_or_foreign_is_refused(data: Path, tmp_path: Path, capfd) -> None:
    place = saving(tmp_path, every_s=0)
    with Vectors(data) as vectors:
        Trainer(vectors, settings(steps=5), Method(), 0, CPU).run(place)
        with pytest.raises(UserError, match="other parameters or inputs"):
            checkpoint.load(place.path, "another key")
        place.path.write_bytes(place.path.read_bytes()[:200])
        with pytest.raises(UserError, match="not a whole checkpoint"):
            checkpoint.load(place.path, "key")
        anew = Trainer(vectors, settings(), Method(), 0, CPU).run(place)
        expected = Trainer(vectors, settings(), Method(), 0, CPU).run(saving(tmp_path / "other"))
    assert "starting anew" in capfd.readouterr().err
    assert torch.equal(anew.W, expected.W)


def test_a_run_from_drawn_vectors_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = GenerateSynthetic(dimension=10, features=24, groups=4, train_rows=None, heldout_rows=5)
    generate_synthetic.run(drawn, tmp_path / "train.h5", tmp_path / "heldout.h5")
    with Vectors(tmp_path / "train.h5") as vectors:
        expected = Trainer(vectors, settings(), METHODS["mfr"], 0, CPU).run(saving(tmp_path))
        with CutOffVectors(tmp_path / "train.h5") as dying, pytest.raises(CutOffError):
            dying.left = 7
            Trainer(dying, settings(), METHODS["mfr"], 0, CPU).run(saving(tmp_path / "cut", every_s=0))
        ended = Trainer(vectors, settings(), METHODS["mfr"], 0, CPU).run(saving(tmp_path / "cut"))
    assert torch.equal(ended.W, expected.W)


def test_checkpoints_come_every_so_many_steps(data: Path, tmp_path: Path) -> None:
    place = Saving(tmp_path / "run.safetensors", "key", every_s=1e9, every_steps=6)
    with CutOffVectors(data) as dying, pytest.raises(CutOffError):
        dying.left = 16
        Trainer(dying, settings(), Method(), 0, CPU).run(place)
    assert checkpoint.load(place.path, "key")[1].step == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("method", ["baseline", "mfr"])
def test_a_signal_saves_and_the_run_goes_on_exactly(data: Path, tmp_path: Path, number: int, method: str) -> None:
    class Signalled(Vectors):
        """Vectors during whose eleventh batch a signal comes."""

        def batches(self, batch: int, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
            for index, x in enumerate(super().batches(batch, seed, first)):
                if index == 10:
                    signal.pthread_kill(threading.main_thread().ident, number)
                yield x

    with Signalled(data) as vectors:
        stopped = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU)
        with pytest.raises(Interrupted, match=rf"{signal.Signals(number).name}: saved at step \d+ of 400"):
            stopped.run(saving(tmp_path))
    assert 0 < stopped.progress.step < 400
    with Vectors(data) as vectors:
        resumed = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU)
        ended = resumed.run(saving(tmp_path))
        expected = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU).run(saving(tmp_path / "whole"))
    assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)


def test_an_exploding_loss_is_named_before_it_is_infinite(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(learning_rate=1e6, weight_decay=1e-5), Method(), 0, CPU)
        for x in islice(vectors.batches(32, 0), 12):
            trainer.step(x)
    lines = [line for line in capfd.readouterr().err.splitlines() if "explodes" in line]
    assert len(lines) == 2 and "the loss of SAE 0 (k = 3)" in lines[0] and "over 1000 times its first" in lines[0]


@pytest.mark.parametrize("matching", ["hungarian", "max"])
def test_the_curves_tell_what_stale_partners_lost(data: Path, tmp_path: Path, matching: str) -> None:
    method = Method(penalty=PENALTY.model_copy(update={"matching": matching, "refresh": 4}))
    with Vectors(data) as vectors:
        trainer = Trainer(vectors, settings(log_every=1, learning_rate=0.05), method, 0, CPU)
        trainer.run(saving(tmp_path))
    stale = {row.step: row.stale for row in trainer.progress.curves}
    assert all(stale[step] == 0 for step in range(1, 5)) and max(stale.values()) > 1e-4 and min(stale.values()) > -1e-6
    assert all(stale[step] == stale[step + 3] for step in (5, 9, 13, 17))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_training_on_a_gpu_is_near_that_on_the_cpu_and_waits_at_logs_alone(data: Path) -> None:
    with Vectors(data) as vectors:
        cpu, gpu = (Trainer(vectors, settings(log_every=50), METHODS["mfr"], 0, torch.device(name)) for name in ("cpu", "cuda"))
        for step, x in enumerate(islice(vectors.batches(32, 0), 20)):
            cpu.step(x)
            torch.cuda.set_sync_debug_mode("default")
            there = x.cuda()
            torch.cuda.set_sync_debug_mode("default" if step % PENALTY.refresh == 0 else "error")
            gpu.step(there)
        torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(cpu.saes.W, gpu.saes.W.cpu(), atol=1e-3)
