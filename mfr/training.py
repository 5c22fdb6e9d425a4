"""The training loop: an ensemble of SAEs on shared batches, with Mutual Feature Regularization where a method asks for it."""

import sys
import time
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch

from mfr import checkpoint
from mfr.checkpoint import CurveRow, Progress
from mfr.errors import UserError
from mfr.mutual import MutualPenalty, activity, alpha, unevenness, warmup
from mfr.params import Method, Train
from mfr.progress import Ticker
from mfr.sae import Ensemble, loss_and_gradients, random_features
from mfr.store import Vectors


@dataclass
class Saving:
    """Where a run's checkpoint lies, what identifies the run, and the seconds between two checkpoints."""

    path: Path
    key: str
    every_s: float


class Trainer:
    """One ensemble in training, by AdamW: each SAE lowers its mean squared error plus α times the common penalty.

    All methods of one seed start from the same weights and see the same batches, so that their comparison is paired.
    """

    def __init__(self, vectors: Vectors, settings: Train, method: Method, seed: int, device: torch.device) -> None:
        self.vectors, self.settings, self.method, self.seed, self.device = vectors, settings, method, seed, device
        self.saes = Ensemble.random(settings.k, settings.hidden, vectors.size, settings.activation, seed).to(device)
        self.mutual = MutualPenalty(method.penalty.matching, len(settings.k)) if method.penalty else None
        # Views of the ensemble's weights, an SAE each, so that one that starts anew starts its optimizer anew.
        self.parameters = [(W, b) for W, b in zip(self.saes.W, self.saes.b)]
        self.optimizer = torch.optim.AdamW(
            chain.from_iterable(self.parameters), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.progress = Progress(reinits=[0] * len(settings.k))
        self.penalty = torch.zeros((), device=device)
        self._forget_since_log()

    def run(self, saving: Saving, progress_s: float) -> Ensemble:
        """Train to the last step, from the checkpoint where there is one; the curves are in `progress.curves`.

        Raises `UserError` where a loss is NaN or infinite.
        """
        self._resume(saving)
        first, started = self.progress.step, time.monotonic()
        saved, tell = started, Ticker(progress_s)
        batches = self.vectors.shuffled(self.settings.batch, self.seed)
        for x in islice(batches, first, self.settings.steps):
            self.step(x.to(self.device))
            now = time.monotonic()
            tell(self._describe((self.progress.step - first) / (now - started)))
            if now - saved >= saving.every_s:
                saved = now
                checkpoint.save(saving.path, saving.key, self._tensors(), self.progress)
        return self.saes

    def step(self, x: torch.Tensor) -> None:
        """One step on the batch x (B, d)."""
        parts = [
            loss_and_gradients(x, W, b, k, self.saes.activation) for (W, b), k in zip(self.parameters, self.saes.k, strict=True)
        ]
        for (W, b), part in zip(self.parameters, parts, strict=True):
            W.grad, b.grad = part.W, part.b
        self.losses.append(torch.stack([part.loss for part in parts]))
        if self.method.penalty:
            self._pull_together()
        self.optimizer.step()
        shares = torch.stack([activity(part.indices, self.settings.hidden) for part in parts])
        self._reinitialise(shares)
        self.active += shares
        self.progress.step += 1
        if self.progress.step % self.settings.log_every == 0 or self.progress.step == self.settings.steps:
            self._log(shares)

    def _pull_together(self) -> None:
        assert self.mutual is not None and self.method.penalty is not None
        settings, step = self.method.penalty, self.progress.step
        if step % settings.refresh == 0:
            self._check_finite()
            self.mutual.match(self.saes.W)
        self.penalty, gradients = self.mutual.value_and_gradient(self.saes.W)
        if step == 0:
            loss = self.losses[-1].mean().item()
            self.progress.alpha = alpha(settings.alpha, settings.alpha_factor, loss, self.penalty.item())
        for (W, _), gradient in zip(self.parameters, gradients, strict=True):
            assert W.grad is not None
            W.grad.add_(gradient, alpha=self.progress.alpha * warmup(step, settings.warmup))

    def _reinitialise(self, shares: torch.Tensor) -> None:
        rule, step = self.method.reinitialise, self.progress.step + 1
        if rule is None or step > rule.check_steps or step % rule.check_every:
            return
        uneven = [
            i
            for i, k in enumerate(self.saes.k)
            if self.progress.reinits[i] < rule.max_reinits and unevenness(shares[i], k, rule.statistic) > rule.threshold
        ]
        for sae in uneven:
            self.progress.reinits[sae] += 1
            self._start_anew(sae)
        if uneven and self.mutual is not None:
            self.mutual.match(self.saes.W)

    def _start_anew(self, sae: int) -> None:
        W, b = self.parameters[sae]
        hidden, size = W.shape
        W.copy_(random_features(hidden, size, self.seed, sae, self.progress.reinits[sae]))
        b.zero_()
        for state in (self.optimizer.state[W], self.optimizer.state[b]):
            for value in state.values():
                value.zero_()

    def _check_finite(self) -> None:
        since = torch.stack(self.losses)
        if not torch.isfinite(since).all():
            row, sae = torch.nonzero(~torch.isfinite(since))[0].tolist()
            step = self.logged_step + row + 1
            raise UserError(
                f"training stopped: at step {step} the loss of SAE {sae} (k = {self.saes.k[sae]}) is {since[row, sae].item()}; "
                "a smaller train.learning_rate or α may help, if the vectors are sound"
            )

    def _log(self, shares: torch.Tensor) -> None:
        self._check_finite()
        inactive = (self.active == 0).float().mean(dim=1).tolist()
        for i, k in enumerate(self.saes.k):
            self.progress.curves.append(
                CurveRow(
                    step=self.progress.step,
                    sae=i,
                    k=k,
                    mse=self.losses[-1][i].item(),
                    penalty=self.penalty.item(),
                    alpha=self.progress.alpha,
                    inactive=inactive[i],
                    unevenness=unevenness(shares[i], k, "absolute"),
                    reinits=self.progress.reinits[i],
                )
            )
        self._forget_since_log()

    def _forget_since_log(self) -> None:
        self.logged_step = self.progress.step
        self.losses: list[torch.Tensor] = []
        self.active = torch.zeros(len(self.settings.k), self.settings.hidden, device=self.device)

    def _describe(self, rate: float) -> str:
        step, steps = self.progress.step, self.settings.steps
        logged = [f"{row.mse:.4g}" for row in self.progress.curves[-len(self.saes.k) :]]
        return f"step {step}/{steps}  {rate:.1f} steps/s  {(steps - step) / rate:.0f} s left  mse {' '.join(logged)}"

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {"W": self.saes.W, "b": self.saes.b, "active": self.active, "penalty": self.penalty}
        if self.losses:
            tensors["losses"] = torch.stack(self.losses)
        if self.mutual is not None and self.mutual.partners is not None:
            tensors["partners"] = self.mutual.partners
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
        self.active, self.penalty = tensors["active"], tensors["penalty"]
        self.losses = list(tensors["losses"]) if "losses" in tensors else []
        self.logged_step = self.progress.step - len(self.losses)
        if self.mutual is not None:
            self.mutual.partners = tensors.get("partners")
        for name, parameter in self._named_parameters():
            moments = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            self.optimizer.state[parameter].update(moments)
