"""Learning curves, and the check of all losses for explosion, NaN and infinity."""

import sys
from dataclasses import dataclass, field
from itertools import combinations
from statistics import mean

import torch
from torch.nn.functional import normalize

from mfr.config.training import Train
from mfr.runtime.errors import UserError
from mfr.saes.similarity import similarities

# The first steps, in which SAEs may be reinitialised (paper, figure 6), are logged more often.
EARLY_STEPS, EARLY_EVERY = 100, 5
EXPLODED = 1000  # times the first loss
DEAD_STEPS = 50
ADVICE = "if the vectors are sound, try a smaller learning_rate or alpha"


@dataclass
class Likeness:
    """Similarity of an SAE's features to the other SAEs' features and to the true ones.

    across and truth_mcc are mean cosines after one-to-one matching; across is also a mean over the other SAEs. truth_mmcs is
    the mean of the largest cosines. recovered_90 and recovered_95 are the shares of true features with a cosine above 0.90 and
    0.95. Values are None if there are no other SAEs or no true features.
    """

    across: float | None = None
    truth_mmcs: float | None = None
    truth_mcc: float | None = None
    recovered_90: float | None = None
    recovered_95: float | None = None


@dataclass
class CurveRow:
    """One SAE at one step of training.

    mse, unevenness and unevenness_cubed are of the step's batch. stale and gap are of the last matching; see
    `mfr.mutual.penalty.PenaltyCurve`. dead is the share of latents that were not selected, transplanted or reinitialised for 50
    steps. The last five fields are the SAE's `Likeness`, or None in rows without one. If inputs are scaled, mse is in the units
    of the raw vectors, but alpha weighs the penalty against the error of scaled ones.
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
    """State of a run besides its tensors: steps done, each SAE's restarts, and learning curves.

    first_losses has each SAE's loss at the first step. exploded lists the SAEs whose loss has exploded, so that
    each is warned of once.
    """

    step: int = 0
    reinits: list[int] = field(default_factory=list)
    first_losses: list[float] = field(default_factory=list)
    exploded: list[int] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)


def is_logged(step: int, settings: Train) -> bool:
    """Whether the learning curves have rows for this step."""
    early = step <= EARLY_STEPS and step % EARLY_EVERY == 0
    return early or step % settings.log_every == 0 or step == settings.steps


def is_measured(step: int, settings: Train) -> bool:
    """Whether the rows for this step have a `Likeness`."""
    every = settings.log_every * (settings.measure_every or 0)
    return every > 0 and (step % every == 0 or step == settings.steps)


class Watch:
    """Losses (n) of the steps since the last rows of the learning curves."""

    def __init__(self, k: list[int]) -> None:
        self.k = k
        self.losses: list[torch.Tensor] = []

    def check(self, progress: Progress, *unseen: torch.Tensor) -> None:
        """Warn of losses that explode, and raise `UserError` at the first that is NaN or infinite.

        `unseen` are the losses (n) of further steps, which are not recorded yet.
        """
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
                print(f"warning: training explodes: {place}, over {EXPLODED} times its first", file=sys.stderr)
        if not torch.isfinite(since).all():
            row, i = torch.nonzero(~torch.isfinite(since))[0].tolist()
            raise UserError(f"training stopped: {self._place(first_step + row, since[row, i].item(), i)}; {ADVICE}")

    def _place(self, step: int, loss: float, i: int) -> str:
        return f"at step {step} the loss of SAE {i} (k = {self.k[i]}) is {loss:.4g}"


def likeness(W: torch.Tensor, features: torch.Tensor | None) -> list[Likeness]:
    """Likeness of each SAE in W (n, h, d), to true features (G, d) if they are known."""
    pairs = list(combinations(range(len(W)), 2))
    W = normalize(W, dim=2)
    across = [found.mcc_hungarian for found in similarities((W[i], W[j]) for i, j in pairs)]
    found = [Likeness() for _ in W]
    for i, own in enumerate(found if pairs else []):
        own.across = mean(value for pair, value in zip(pairs, across, strict=True) if i in pair)
    if features is not None:
        for own, truth in zip(found, similarities((sae, normalize(features, dim=1)) for sae in W), strict=True):
            own.truth_mmcs, own.truth_mcc = truth.mmcs_max, truth.mcc_hungarian
            own.recovered_90, own.recovered_95 = truth.recovered(0.9), truth.recovered(0.95)
    return found
