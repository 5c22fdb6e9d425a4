"""The training loop: an ensemble of SAEs on shared batches, with what its method adds."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import torch

from mfr.config.training import Method, Train
from mfr.mutual.dead_latents import add_auxk, idle_steps, overwrite, transplants
from mfr.mutual.penalty import Penalty, PenaltyCurve
from mfr.mutual.reinitialisation import restart, to_restart
from mfr.runtime import interruption
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import Interrupted, Interruption, deferred
from mfr.runtime.progress import Ticker, duration
from mfr.saes import step_cpu
from mfr.saes.ensemble import Ensemble, random_features, unevenness
from mfr.saes.step import Member, Step
from mfr.saes.step_gpu import EnsembleStep
from mfr.training import checkpoint, feed
from mfr.training.curves import ADVICE, DEAD_STEPS, CurveRow, Likeness, Progress, Watch, is_logged, is_measured, likeness
from mfr.training.inputs import measured, raw, with_white_noise
from mfr.vectors.reader import Vectors

RATE_STEPS = 10  # steps after the first, from which the rate is known


@dataclass
class Saving:
    """Path and key of a run's checkpoint, and the seconds and steps between two checkpoints."""

    path: Path
    key: str
    every_s: float
    every_steps: int | None = None


class Trainer:
    """Training of one ensemble by AdamW, on each SAE's squared error plus α times the penalty.

    All methods of one seed start from the same weights and see the same batches, so that their comparison is paired. If inputs
    are scaled, everything here is about scaled vectors, except the ensemble that `run` returns and the errors in the curves.
    """

    def __init__(self, vectors: Vectors, settings: Train, method: Method, seed: int, device: torch.device) -> None:
        self.vectors, self.method, self.seed, self.device = vectors, method, seed, device
        self.settings = settings = method.applied_to(settings)
        self.scaling = measured(vectors, seed) if settings.inputs == "scaled" else raw(vectors.size)
        self.saes = Ensemble.random(settings.k, settings.hidden, vectors.size, settings.activation, seed).to(device)
        self.d_W, self.d_b = torch.zeros_like(self.saes.W), torch.zeros_like(self.saes.b)
        views = zip(self.saes.W, self.saes.b, self.d_W, self.d_b, settings.k, strict=True)
        self.members = [Member(*view, settings.activation, settings.precision) for view in views]
        # Each SAE has its own parameters, so that a restart resets only its own optimizer state.
        for member in self.members:
            member.W.grad, member.b.grad = member.d_W, member.d_b
        self.optimizer = torch.optim.AdamW(
            chain.from_iterable((member.W, member.b) for member in self.members),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.features = None if vectors.features is None else vectors.features.to(device)
        self.penalty = Penalty(method.penalty, self.saes, self.d_W) if method.penalty else None
        self.losses_and_gradients = self._steps_on_cpu() if device.type == "cpu" else self._steps_on_gpu()
        self.progress = Progress(reinits=[0] * len(settings.k))
        self.watch = Watch(settings.k)
        self.idle = torch.zeros(self.saes.b.shape, dtype=torch.int64, device=device)
        self.saved_step = 0

    def run(self, saving: Saving, log_s: float | None = None) -> Ensemble:
        """Train to the last step, resuming from the checkpoint if there is one; return the ensemble.

        The learning curves are in `progress.curves`. Raises `UserError` if a loss is NaN or infinite. After SIGTERM or SIGINT,
        saves all work and raises `Interrupted`.
        """
        with Interruption(), Ticker(log_s) as report:
            try:
                with deferred():
                    self._resume(saving)
                    self._run(saving, report)
            except Interrupted as interrupted:
                self.save(saving)
                message = f"{interrupted}: saved at step {self.progress.step} of {self.settings.steps}; run again to resume"
                raise Interrupted(message, interrupted.number) from None
        return self.scaling.folded(self.saes)

    def _run(self, saving: Saving, report: Ticker) -> None:
        first = self.saved_step = self.progress.step
        started = saved = time.monotonic()
        with closing(self.batches(first)) as batches:
            for x in islice(batches, self.settings.steps - first):
                self.step(x)
                interruption.check()
                now, done = time.monotonic(), self.progress.step
                if done == first + 1:
                    started = now  # the first step compiles
                report(self._describe(done - first - 1, now - started))
                if now - saved >= saving.every_s or done - self.saved_step == saving.every_steps:
                    saved = now
                    self.save(saving)

    def batches(self, first: int) -> Generator[torch.Tensor]:
        """Training batches (B, d) from step `first` on, on the trainer's device."""
        return feed.batches(self.vectors, self.settings, self.scaling, self.seed, first, self.device)

    def step(self, x: torch.Tensor) -> None:
        """Take one training step on the batch x (B, d), which is on the trainer's device."""
        seen = with_white_noise(x, self.settings.noise_db, self.seed, self.progress.step)
        steps = self.losses_and_gradients(seen, x)
        losses, counts = torch.stack([own.loss for own in steps]), torch.stack([own.counts for own in steps])
        self._find_partners(losses)
        self.watch.losses.append(losses)
        self.idle = idle_steps(self.idle, counts)
        if self.penalty:
            self.penalty.add_gradient(self.progress.step, losses, self.idle)
        self._add_auxk(steps, seen, x)
        self._set_learning_rate()
        self.optimizer.step()
        self.progress.step += 1
        shares = counts / self.settings.batch
        self._reinitialise(shares)
        self._transplant()
        if is_logged(self.progress.step, self.settings):
            self._log(shares)

    def _steps_on_cpu(self) -> Callable[[torch.Tensor, torch.Tensor], list[Step]]:
        steps = step_cpu.Steps(self.members)

        def one_by_one(seen: torch.Tensor, x: torch.Tensor) -> list[Step]:
            return steps(seen, x, self.penalty.attraction(self.progress.step, self.idle) if self.penalty else None)

        return one_by_one

    def _steps_on_gpu(self) -> EnsembleStep:
        return EnsembleStep(self.saes, self.d_W, self.d_b, self.settings.precision)

    def _find_partners(self, losses: torch.Tensor) -> None:
        if self.penalty and self.penalty.is_due(self.progress.step):
            # Reports a NaN or infinite loss before matching fails on its weights.
            self.watch.check(self.progress, losses)
            self.penalty.find_partners()

    def _add_auxk(self, steps: list[Step], seen: torch.Tensor, x: torch.Tensor) -> None:
        if self.method.auxk:
            for member, own, idle in zip(self.members, steps, self.idle, strict=True):
                add_auxk(self.method.auxk, member, own, idle, seen, x)

    def _set_learning_rate(self) -> None:
        if self.method.schedule == "linear":
            left = 1 - self.progress.step / self.settings.steps
            self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * left

    def _reinitialise(self, shares: torch.Tensor) -> None:
        rule, reinits = self.method.reinitialise, self.progress.reinits
        hidden, size = self.saes.W.shape[1:]
        for i in to_restart(rule, self.progress.step, shares, self.saes.k, reinits) if rule else ():
            reinits[i] += 1
            restart(self.members[i], random_features(hidden, size, self.seed, i, reinits[i]), self.optimizer)
            self.idle[i] = 0
            if self.penalty:
                self.penalty.set_matches(())

    def _transplant(self) -> None:
        settings, done = self.method.transplant, self.progress.step
        if settings is None or done % settings.every or done == self.settings.steps:
            return
        for plan in transplants(self.saes.W, self.idle, settings, done // settings.every):
            overwrite(plan, self.members, self.optimizer, settings.moments)
            self.idle[plan.sae, plan.latents] = 0

    def _log(self, shares: torch.Tensor) -> None:
        self.watch.check(self.progress)
        settings, done = self.settings, self.progress.step
        losses = self.watch.losses[-1].tolist()
        dead = (self.idle >= DEAD_STEPS).float().mean(dim=1).tolist()
        pulled = self.penalty.curve() if self.penalty else PenaltyCurve()
        for i, k in enumerate(settings.k):
            self.progress.curves.append(
                CurveRow(
                    step=done,
                    sae=i,
                    k=k,
                    mse=losses[i] * self.scaling.scale**2,
                    **vars(pulled),
                    dead=dead[i],
                    unevenness=unevenness(shares[i], k, "absolute"),
                    unevenness_cubed=unevenness(shares[i], k, "cubed"),
                    reinits=self.progress.reinits[i],
                    **vars(Likeness()),
                )
            )
        self.watch.losses = []
        self._measure()

    def _measure(self) -> None:
        """Give the rows of the current step their `Likeness`; a run that is interrupted here resumes here."""
        done = self.progress.step
        rows = [row for row in self.progress.curves[-len(self.saes.k) :] if row.step == done]
        if rows and is_measured(done, self.settings) and rows[0].across is None and rows[0].truth_mmcs is None:
            if not self.saes.W.isfinite().all():
                raise UserError(f"training stopped: weights are NaN or infinite after step {done}; {ADVICE}")
            found = likeness(self.saes.W, self.features)
            self.progress.curves[-len(rows) :] = [replace(row, **vars(own)) for row, own in zip(rows, found, strict=True)]

    def _describe(self, timed: int, seconds: float) -> str:
        """Progress line; rate and time left follow from `timed` steps that took `seconds`, and are absent if those are few."""
        done, steps = self.progress.step, self.settings.steps
        logged = [f"{row.mse:.4g}" for row in self.progress.curves[-len(self.saes.k) :]]
        line = f"step {done}/{steps}"
        if timed >= RATE_STEPS:
            line += f"  {timed / seconds:.1f} steps/s  {duration((steps - done) * seconds / timed)} left"
        return f"{line}  mse {' '.join(logged)}"

    def save(self, saving: Saving) -> None:
        """Write a checkpoint of the current step, unless it is already written."""
        if self.saved_step != self.progress.step:
            checkpoint.save(saving.path, saving.key, self._tensors(), self.progress)
            self.saved_step = self.progress.step

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {"W": self.saes.W, "b": self.saes.b, "idle": self.idle}
        if self.penalty:
            tensors |= checkpoint.of_penalty(self.penalty)
        if self.watch.losses:
            tensors["losses"] = torch.stack(self.watch.losses)
        for name, parameter in self._named_parameters():
            for moment, value in self.optimizer.state[parameter].items():
                tensors[f"{name}.{moment}"] = value
        return tensors

    def _named_parameters(self) -> list[tuple[str, torch.Tensor]]:
        return [(f"{name}{i}", getattr(member, name)) for i, member in enumerate(self.members) for name in ("W", "b")]

    def _resume(self, saving: Saving) -> None:
        try:
            loaded = checkpoint.load(saving.path, saving.key)
            if loaded is None:
                return
            self._check(saving.path, *loaded)
        except checkpoint.NotResumableError as error:
            print(f"{error}; starting from step 0", file=sys.stderr)
            return
        tensors, self.progress = loaded
        print(f"resuming at step {self.progress.step}", file=sys.stderr)
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self.saes.W.copy_(tensors["W"])
        self.saes.b.copy_(tensors["b"])
        self.idle = tensors["idle"]
        self.watch.losses = list(tensors["losses"]) if "losses" in tensors else []
        if self.penalty:
            checkpoint.restore_penalty(self.penalty, tensors)
        for name, parameter in self._named_parameters():
            moments = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            self.optimizer.state[parameter].update(moments)
        self._measure()

    def _check(self, path: Path, tensors: dict[str, torch.Tensor], progress: Progress) -> None:
        """Raise `NotResumableError` unless a checkpoint has what `_tensors` gives for this training."""
        n, h = self.saes.b.shape
        kinds: dict[str, checkpoint.Kind] = {
            name: (tuple(tensor.shape), tensor.dtype)
            for name, tensor in (("W", self.saes.W), ("b", self.saes.b), ("idle", self.idle))
        }
        if "losses" in tensors:
            kinds["losses"] = ((None, n), self.saes.W.dtype)
        for name, parameter in self._named_parameters():
            kinds |= {f"{name}.{moment}": (tuple(parameter.shape), parameter.dtype) for moment in ("exp_avg", "exp_avg_sq")}
            kinds[f"{name}.step"] = ((), torch.float32)
        if self.penalty:
            kinds |= checkpoint.kinds_of_penalty(self.penalty, tensors)
        checkpoint.check(path, tensors, kinds)
        checkpoint.check_matches(path, tensors, h)
        lengths = len(progress.reinits) == n and len(progress.first_losses) in (0, n)
        if not (lengths and 0 < progress.step <= self.settings.steps and set(progress.exploded) <= set(range(n))):
            raise checkpoint.NotResumableError(f"{path}: its progress does not fit this training")
