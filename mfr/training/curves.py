"""Learning curves: what is written down every so many steps of training, and the watch over losses in between."""

import sys
from dataclasses import dataclass, field
from itertools import combinations
from statistics import mean

import torch

from mfr.compute.threads import each
from mfr.config.training import Train
from mfr.runtime.errors import UserError
from mfr.saes.similarity import mcc_hungarian, mmcs_max, recovered

# The first steps, in which an SAE may be reinitialised (paper, figure 6), have more rows.
EARLY_STEPS, EARLY_EVERY = 100, 5
EXPLODED = 1000
DEAD_STEPS = 50


@dataclass
class Likeness:
    """How similar an SAE's features are, one to one, to the other SAEs', and to the true ones; None where there are none.

    truth_mmcs is the mean of the largest cosines, truth_mcc that of one-to-one pairs, recovered_90 and recovered_95 the
    share of true features with a cosine above that.
    """

    across: float | None = None
    truth_mmcs: float | None = None
    truth_mcc: float | None = None
    recovered_90: float | None = None
    recovered_95: float | None = None


@dataclass
class CurveRow:
    """One SAE at one step of training.

    mse and both kinds of unevenness are those of the step's batch, stale and gap those of the last matching
    (`mfr.mutual.matches.Match`); dead is the share of latents that for 50 steps were not selected, nor transplanted or started anew.
    The rest is its `Likeness`, in rows that have one. Where inputs are scaled, mse is that of the vectors as they are, and
    alpha weighs the penalty against that of the scaled ones.
    """

    step: int
    sae: int
    k: int
    mse: float
    penalty: float
    alpha: float
    stale: float
    gap: float
    dead: float
    unevenness: float
    unevenness_cubed: float
    reinits: int
    across: float | None
    truth_mmcs: float | None
    truth_mcc: float | None
    recovered_90: float | None
    recovered_95: float | None


@dataclass
class Progress:
    """Where a run stands besides its tensors: steps done, restarts of each SAE, curves.

    first_losses are those of the first step, exploded lists the SAEs whose loss has grown far beyond.
    """

    step: int = 0
    reinits: list[int] = field(default_factory=list)
    first_losses: list[float] = field(default_factory=list)
    exploded: list[int] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)


def is_logged(step: int, settings: Train) -> bool:
    """Whether the curves have rows of this step."""
    early = step <= EARLY_STEPS and step % EARLY_EVERY == 0
    return early or step % settings.log_every == 0 or step == settings.steps


def is_measured(step: int, settings: Train) -> bool:
    """Whether the rows of this step have a `Likeness`."""
    every = settings.log_every * (settings.measure_every or 0)
    return every > 0 and (step % every == 0 or step == settings.steps)


class Watch:
    """The losses (n) of every step since the last row of the curves."""

    def __init__(self, k: list[int]) -> None:
        self.k = k
        self.losses: list[torch.Tensor] = []

    def check(self, progress: Progress, *unseen: torch.Tensor) -> None:
        """Warn of losses that explode, and stop at one that is NaN or infinite, of the steps seen, and of `unseen` ones."""
        since = torch.stack([*self.losses, *unseen]).cpu()
        first_step = progress.step + 1 + len(unseen) - len(since)
        if not progress.first_losses:
            progress.first_losses = since[0].tolist()
        growth = since / torch.tensor(progress.first_losses)
        for i in sorted(set(range(len(self.k))) - set(progress.exploded)):
            if (growth[:, i] > EXPLODED).any():
                progress.exploded.append(i)
                row = int((growth[:, i] > EXPLODED).nonzero()[0])
                place = self._place(first_step + row, since[row, i].item(), i)
                print(f"warning: the loss explodes: {place}, over {EXPLODED} times its first", file=sys.stderr)
        if not torch.isfinite(since).all():
            row, i = torch.nonzero(~torch.isfinite(since))[0].tolist()
            advice = "a smaller learning rate or α may help, if the vectors are sound"
            raise UserError(f"training stopped: {self._place(first_step + row, since[row, i].item(), i)}; {advice}")

    def _place(self, step: int, loss: float, i: int) -> str:
        return f"at step {step} the loss of SAE {i} (k = {self.k[i]}) is {loss:.4g}"


def likeness(W: torch.Tensor, features: torch.Tensor | None) -> list[Likeness]:
    """Of every SAE in W (n, h, d), with the true features (G, d) where they are known."""
    pairs = list(combinations(range(len(W)), 2))
    across = each(lambda pair: mcc_hungarian(W[pair[0]], W[pair[1]]), pairs)
    found = [Likeness() for _ in W]
    for i, own in enumerate(found if pairs else []):
        own.across = mean(value for pair, value in zip(pairs, across, strict=True) if i in pair)
    if features is not None:
        for own, sae in zip(found, W, strict=True):
            own.truth_mmcs, own.truth_mcc = mmcs_max(sae, features), mcc_hungarian(sae, features)
            own.recovered_90, own.recovered_95 = recovered(sae, features, 0.9), recovered(sae, features, 0.95)
    return found
