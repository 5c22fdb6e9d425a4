"""The training loop: an ensemble of SAEs on shared batches, with Mutual Feature Regularization where a method asks for it."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from statistics import mean

import torch

from mfr import checkpoint, kernels, mutual, sae
from mfr.curves import DEAD_STEPS, CurveRow, Likeness, Progress, Watch, likeness
from mfr.errors import UserError
from mfr.interruption import Interrupted, Interruption, deferred
from mfr.method import Method, Train
from mfr.mutual import Match, alpha, links, match, unevenness, warmup
from mfr.noisy import with_white_noise
from mfr.prefetch import prefetched
from mfr.progress import Ticker
from mfr.revival import auxk_gradients, transplants
from mfr.sae import Ensemble, Step, random_features
from mfr.scaling import measured, raw
from mfr.store import Vectors

BATCHES_AHEAD = 4
# The first steps, in which an SAE may start anew (paper, figure 6), have more rows in the curves.
EARLY_STEPS, EARLY_EVERY = 100, 5


@dataclass
class Saving:
    """Where a run's checkpoint lies, what identifies the run, and the seconds and steps between two checkpoints."""

    path: Path
    key: str
    every_s: float
    every_steps: int | None = None


class Trainer:
    """One ensemble in training, by AdamW: each SAE lowers its mean squared error plus α times the common penalty.

    All methods of one seed start from the same weights and see the same batches, so that their comparison is paired. Where
    inputs are scaled, everything here is about scaled vectors, but for the ensemble that `run` returns and the curves' errors.
    """

    def __init__(self, vectors: Vectors, settings: Train, method: Method, seed: int, device: torch.device) -> None:
        self.vectors, self.method, self.seed, self.device = vectors, method, seed, device
        self.settings = settings = method.applied_to(settings)
        self.scaling = measured(vectors, seed) if settings.inputs == "scaled" else raw(vectors.size)
        self.saes = Ensemble.random(settings.k, settings.hidden, vectors.size, settings.activation, seed).to(device)
        self.d_W, self.d_b = torch.zeros_like(self.saes.W), torch.zeros_like(self.saes.b)
        # Views of the ensemble's weights, an SAE each, so that one that starts anew starts its optimizer anew.
        self.parameters = list(zip(self.saes.W, self.saes.b))
        for (W, b), d_W, d_b in zip(self.parameters, self.d_W, self.d_b, strict=True):
            W.grad, b.grad = d_W, d_b
        self.optimizer = torch.optim.AdamW(
            chain.from_iterable(self.parameters),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        compiled = device.type == "cpu"
        self.features = None if vectors.features is None else vectors.features.to(device)
        self.loss_and_gradients = kernels.loss_and_gradients if compiled else sae.loss_and_gradients
        self.pull = kernels.pull if compiled else mutual.pull
        self.progress = Progress(reinits=[0] * len(settings.k))
        self.penalty = torch.zeros((), device=device)
        self.matches: Sequence[Match] = ()
        self.saved_step = 0
        self.watch = Watch(settings.k)
        self.idle = torch.zeros(self.saes.b.shape, dtype=torch.int64, device=device)

    def run(self, saving: Saving, log_s: float | None = None) -> Ensemble:
        """The ensemble trained to the last step, from the checkpoint where there is one; the curves are in `progress.curves`.

        Raises `UserError` where a loss is NaN or infinite, and `Interrupted`, with all work saved, after SIGTERM or SIGINT.
        """
        with Interruption(), Ticker(log_s) as tell:
            try:
                with deferred() as check:
                    self._resume(saving)
                    self._run(saving, tell, check)
            except Interrupted as interrupted:
                self.save(saving)
                message = f"{interrupted}: saved at step {self.progress.step} of {self.settings.steps}; run again to go on"
                raise Interrupted(message, interrupted.number) from None
        return self.scaling.folded(self.saes)

    def _run(self, saving: Saving, tell: Ticker, check: Callable[[], None]) -> None:
        first = self.saved_step = self.progress.step
        started = saved = time.monotonic()
        with closing(self.batches(first)) as batches:
            for x in islice(batches, self.settings.steps - first):
                self.step(x.to(self.device, non_blocking=True))
                check()
                now, step = time.monotonic(), self.progress.step
                tell(self._describe((step - first) / (now - started)))
                if now - saved >= saving.every_s or step - self.saved_step == saving.every_steps:
                    saved = now
                    self.save(saving)

    def batches(self, first: int) -> Generator[torch.Tensor]:
        """The batches from step `first` on, read ahead where a file or a GPU makes one wait; else all cores are at work."""
        batches = self.vectors.batches(self.settings.batch, self.seed, first)
        if self.settings.inputs == "scaled":
            batches = (self.scaling.apply_(x) for x in batches)
        if self.device.type == "cuda":
            return prefetched(map(torch.Tensor.pin_memory, batches), BATCHES_AHEAD)
        return prefetched(batches, BATCHES_AHEAD) if self.vectors.drawn is None else batches

    def step(self, x: torch.Tensor) -> None:
        """One step on the batch x (B, d)."""
        settings = self.settings
        seen = with_white_noise(x, settings.noise_db, self.seed, self.progress.step)
        parts = [
            self.loss_and_gradients(seen, W, b, k, settings.activation, settings.precision, W.grad, b.grad, target=x)
            for (W, b), k in zip(self.parameters, self.saes.k, strict=True)
        ]
        losses, counts = torch.stack([part.loss for part in parts]), torch.stack([part.counts for part in parts])
        self._set_matches(self._matches(losses))
        self.watch.losses.append(losses)
        self.idle = torch.where(counts > 0, 0, self.idle + 1)
        self._pull_together(losses)
        self._teach_dead(seen, x, parts)
        self._set_learning_rate()
        self.optimizer.step()
        self._restart(counts)
        self._transplant()
        self.progress.step += 1
        if self._is_logged(settings.log_every):
            self._log(counts)

    def _matches(self, losses: torch.Tensor) -> Sequence[Match]:
        settings = self.method.penalty
        if settings is None or (self.matches and self.progress.step % settings.refresh):
            return self.matches
        self.watch.check(self.progress, losses)
        return match(self.saes.W, settings.matching, settings.max_gap, self.matches)

    def _set_matches(self, matches: Sequence[Match]) -> None:
        if matches and matches is not self.matches:
            self.links = links(matches, *self.saes.b.shape)
        self.matches = matches

    def _pull_together(self, losses: torch.Tensor) -> None:
        settings, step = self.method.penalty, self.progress.step
        if settings is None:
            return
        if step == 0:
            penalty = self.pull(self.saes.W, self.links, torch.zeros_like(self.saes.b), self.d_W).item()
            self.progress.alpha = alpha(settings.alpha, settings.alpha_factor, losses.mean().item(), penalty)
        weights = torch.full_like(self.saes.b, self.progress.alpha * warmup(step, settings.warmup))
        if settings.alpha == "relative":
            weights *= losses[:, None]
        if settings.latents != "all":
            weights *= (self.idle >= settings.dead_after) == (settings.latents == "dead")
        self.penalty = self.pull(self.saes.W, self.links, weights, self.d_W)

    def _teach_dead(self, seen: torch.Tensor, x: torch.Tensor, parts: list[Step]) -> None:
        settings = self.method.auxk
        if settings is None:
            return
        for (W, b), k, part, idle in zip(self.parameters, self.saes.k, parts, self.idle, strict=True):
            (dead,) = torch.nonzero(idle >= settings.dead_after, as_tuple=True)
            if len(dead):
                error = part.g * (-x.numel() / 2)
                k_aux = k if settings.k == "same" else settings.k
                d_W, d_b = auxk_gradients(seen, error, W[dead], b[dead], k_aux, settings.weight, target=x)
                W.grad[dead] += d_W
                b.grad[dead] += d_b

    def _set_learning_rate(self) -> None:
        if self.method.schedule == "linear":
            left = 1 - self.progress.step / self.settings.steps
            self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * left

    def _uneven(self, counts: torch.Tensor, statistic: mutual.Statistic) -> list[float]:
        shares = counts / self.settings.batch
        return [unevenness(share, k, statistic) for share, k in zip(shares, self.saes.k, strict=True)]

    def _restart(self, counts: torch.Tensor) -> None:
        rule, step = self.method.reinitialise, self.progress.step + 1
        if rule is None or step > rule.check_steps or step % rule.check_every:
            return
        uneven = [
            i
            for i, value in enumerate(self._uneven(counts, rule.statistic))
            if value > rule.threshold and self.progress.reinits[i] < rule.max_reinits
        ]
        for i in uneven:
            self.progress.reinits[i] += 1
            self._start_anew(i)
        if uneven:
            self.matches = ()

    def _start_anew(self, i: int) -> None:
        W, b = self.parameters[i]
        hidden, size = W.shape
        W.copy_(random_features(hidden, size, self.seed, i, self.progress.reinits[i]))
        b.zero_()
        self.idle[i] = 0
        for state in (self.optimizer.state[W], self.optimizer.state[b]):
            for value in state.values():
                value.zero_()

    def _transplant(self) -> None:
        settings, step = self.method.transplant, self.progress.step + 1
        if settings is None or step % settings.every or step == self.settings.steps:
            return
        for plan in transplants(self.saes.W, self.idle, settings, step // settings.every):
            for own, given in zip(self.parameters[plan.sae], self.parameters[plan.donor], strict=True):
                own[plan.latents] = given[plan.features]
                for moment in ("exp_avg", "exp_avg_sq"):
                    moments = self.optimizer.state[given][moment][plan.features]
                    self.optimizer.state[own][moment][plan.latents] = moments if settings.moments == "donor" else 0
            self.idle[plan.sae, plan.latents] = 0

    def _is_logged(self, every: int) -> bool:
        step = self.progress.step
        early = step <= EARLY_STEPS and step % EARLY_EVERY == 0
        return early or step % every == 0 or step == self.settings.steps

    def _log(self, counts: torch.Tensor) -> None:
        self.watch.check(self.progress)
        settings, step = self.settings, self.progress.step
        measure_every = settings.log_every * (settings.measure_every or 0)
        measured = measure_every and (step % measure_every == 0 or step == settings.steps)
        likenesses = likeness(self.saes.W, self.features) if measured else [Likeness() for _ in settings.k]
        dead = (self.idle >= DEAD_STEPS).float().mean(dim=1).tolist()
        uneven, uneven_cubed = self._uneven(counts, "absolute"), self._uneven(counts, "cubed")
        for i, k in enumerate(settings.k):
            self.progress.curves.append(
                CurveRow(
                    step=step,
                    sae=i,
                    k=k,
                    mse=self.watch.losses[-1][i].item() * self.scaling.scale**2,
                    penalty=self.penalty.item(),
                    alpha=self.progress.alpha,
                    stale=mean(match.stale for match in self.matches) if self.matches else 0.0,
                    gap=max((match.gap for match in self.matches), default=0.0),
                    dead=dead[i],
                    unevenness=uneven[i],
                    unevenness_cubed=uneven_cubed[i],
                    reinits=self.progress.reinits[i],
                    **vars(likenesses[i]),
                )
            )
        self.watch.losses = []

    def _describe(self, rate: float) -> str:
        step, steps = self.progress.step, self.settings.steps
        logged = [f"{row.mse:.4g}" for row in self.progress.curves[-len(self.saes.k) :]]
        return f"step {step}/{steps}  {rate:.1f} steps/s  {(steps - step) / rate:.0f} s left  mse {' '.join(logged)}"

    def save(self, saving: Saving) -> None:
        """Write a checkpoint of this step, if it was not written yet."""
        if self.saved_step == self.progress.step:
            return
        checkpoint.save(saving.path, saving.key, self._tensors(), self.progress)
        self.saved_step = self.progress.step

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {"W": self.saes.W, "b": self.saes.b, "penalty": self.penalty, "idle": self.idle}
        tensors |= checkpoint.of_matches(self.matches)
        if self.watch.losses:
            tensors["losses"] = torch.stack(self.watch.losses)
        for name, parameter in self._named_parameters():
            for moment, value in self.optimizer.state[parameter].items():
                tensors[f"{name}.{moment}"] = value
        return tensors

    def _named_parameters(self) -> list[tuple[str, torch.Tensor]]:
        return [(f"{name}{i}", part) for i, pair in enumerate(self.parameters) for name, part in zip(("W", "b"), pair)]

    def _resume(self, saving: Saving) -> None:
        if not saving.path.exists():
            return
        try:
            tensors, self.progress = checkpoint.load(saving.path, saving.key)
        except UserError as error:
            print(f"starting anew: {error}", file=sys.stderr)
            return
        print(f"going on at step {self.progress.step}", file=sys.stderr)
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self.saes.W.copy_(tensors["W"])
        self.saes.b.copy_(tensors["b"])
        self.penalty, self.idle = tensors["penalty"], tensors["idle"]
        self.watch.losses = list(tensors["losses"]) if "losses" in tensors else []
        self._set_matches(checkpoint.to_matches(tensors))
        for name, parameter in self._named_parameters():
            moments = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            self.optimizer.state[parameter].update(moments)
