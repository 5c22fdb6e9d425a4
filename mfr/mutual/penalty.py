"""The penalty on dissimilar features and its weight α (paper, section 3.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch.nn.functional import embedding_bag

from mfr.compute import compiled
from mfr.compute.threads import arrays, even_bounds, side_by_side
from mfr.config.training import Alpha
from mfr.config.training import Penalty as Settings
from mfr.mutual.dead_latents import idle_steps
from mfr.mutual.matches import Links, Match, links, match
from mfr.saes.ensemble import Ensemble
from mfr.saes.step import Step
from mfr.saes.step_cpu import Attraction


@dataclass
class PenaltyCurve:
    """What the learning curves record of a penalty: its value and its weight α.

    `stale` is the mean and `gap` the largest over the pairs of SAEs at the last matching.
    """

    penalty: float = 0.0
    alpha: float = 0.0
    stale: float = 0.0
    gap: float = 0.0


class Penalty:
    """The penalty of one ensemble in training.

    `matches` follow the features as they drift. `alpha` is the weight after warm-up, `value` the penalty at the last step.
    """

    def __init__(self, settings: Settings, saes: Ensemble, d_W: torch.Tensor) -> None:
        self.settings, self.saes, self.d_W = settings, saes, d_W
        self.pull = pull_cpu if saes.W.device.type == "cpu" else pull
        self.alpha = 0.0
        self.value = torch.zeros((), device=saes.W.device)
        self.matches: Sequence[Match] = ()
        self.attracted: Attraction | None = None

    def is_due(self, step: int) -> bool:
        """Whether to match features at this step: every `refresh` steps, and if there are no matches."""
        return not self.matches or step % self.settings.refresh == 0

    def find_partners(self) -> None:
        """Match the current features."""
        self.set_matches(match(self.saes.W, self.settings.matching, self.settings.max_gap, self.matches))

    def set_matches(self, matches: Sequence[Match]) -> None:
        """Replace the matches, by a checkpoint's or by none."""
        self.matches = matches
        if matches:
            self.links = links(matches, *self.saes.b.shape)

    def attraction(self, step: int, idle: torch.Tensor) -> Attraction | None:
        """The penalty's gradient as part of the SAEs' own gradients, which saves passes over d_W; `idle` is of the last step.

        None if partners are first to be found: then `add_gradient` adds all of it. `mfr.saes.step_cpu` takes it.
        """
        if self.is_due(step):
            return None
        W, norm = self.saes.W, self.saes.W.norm(dim=2)

        def weights(i: int, own: Step) -> torch.Tensor:
            since = idle_steps(idle[i : i + 1], own.counts)
            return self._weights(step, own.loss[None], since)[0] * self.links.share

        scales = (1 / norm.flatten())[self.links.partners]
        features, cosines = W.view(-1, W.shape[2]), torch.empty_like(norm)
        self.attracted = Attraction(features, norm, self.links.starts, self.links.partners, scales, weights, cosines)
        return self.attracted

    def add_gradient(self, step: int, losses: torch.Tensor, idle: torch.Tensor) -> None:
        """Add the penalty's gradient to d_W, if that is not part of it by `attraction`; the first step also sets `alpha`.

        `losses` (n) are the SAEs' losses, and `idle` (n, h) counts the steps since each latent was selected.
        """
        if self.attracted:
            self.value, self.attracted = _value(self.links, self.attracted.cosines), None
            return
        settings = self.settings
        if step == 0:
            penalty = self.pull(self.saes.W, self.links, torch.zeros_like(self.saes.b), self.d_W).item()
            self.alpha = alpha(settings.alpha, settings.alpha_factor, losses.mean().item(), penalty)
        self.value = self.pull(self.saes.W, self.links, self._weights(step, losses, idle), self.d_W)

    def _weights(self, step: int, losses: torch.Tensor, idle: torch.Tensor) -> torch.Tensor:
        """Weight of each feature's pull (m, h), for the losses (m) and idle steps (m, h) of some SAEs."""
        settings = self.settings
        weights = torch.full_like(idle, self.alpha * warmup(step, settings.warmup), dtype=self.saes.b.dtype)
        if settings.alpha == "relative":
            weights *= losses[:, None]
        if settings.latents != "all":
            weights *= (idle >= settings.dead_after) == (settings.latents == "dead")
        return weights

    def curve(self) -> PenaltyCurve:
        """Current values for the learning curves."""
        stale = mean(match.stale for match in self.matches) if self.matches else 0.0
        return PenaltyCurve(self.value.item(), self.alpha, stale, max((match.gap for match in self.matches), default=0.0))


def pull(W: torch.Tensor, links: Links, weights: torch.Tensor, d_W: torch.Tensor) -> torch.Tensor:
    """The penalty of W (n, h, d); adds its gradient times `weights` (n, h) to d_W (n, h, d).

    penalty = Σ share · (1 − cos(u, v)) over the matches, and ∂cos(u, v)/∂u = (v̂ − cos(u, v) û) / ‖u‖. The gradient of a
    feature therefore needs only Σ v̂ over its matches: O(matches · d), without an h × h matrix.
    """
    features, d_features = W.view(-1, W.shape[2]), d_W.view(-1, W.shape[2])
    norm: torch.Tensor = features.norm(dim=1, keepdim=True)
    of_partners = norm.reciprocal().flatten()[links.partners]
    together = embedding_bag(links.partners, features, links.starts[:-1], per_sample_weights=of_partners, mode="sum")
    cosines = (together * features).sum(dim=1, keepdim=True) / norm
    scale = weights.view(-1, 1) * links.share / norm
    # In place: at large shapes each tensor of this size counts.
    d_features.addcmul_(together, scale, value=-1).addcmul_(features, scale * cosines / norm)
    return (len(links.partners) - cosines.sum()) * (links.share / 2)


def pull_cpu(W: torch.Tensor, links: Links, weights: torch.Tensor, d_W: torch.Tensor) -> torch.Tensor:
    """CPU version of `pull`, by compiled loops."""
    features, norm = W.view(-1, W.shape[2]), W.norm(dim=2).flatten()
    cosines, scales = torch.empty_like(norm), (1 / norm)[links.partners]
    given = arrays(features, norm, features, links.starts, links.partners, scales, weights.flatten() * links.share, cosines)
    side_by_side(compiled.pull, even_bounds(len(features)), *given, *arrays(d_W.view_as(features)))
    return _value(links, cosines)


def _value(links: Links, cosines: torch.Tensor) -> torch.Tensor:
    """The penalty, from each feature's sum of cosines with its partners."""
    return (len(links.partners) - cosines.sum()) * (links.share / 2)


def warmup(step: int, steps: int) -> float:
    """Share of the penalty's full weight at a step, rising from 0 to 1 over `steps`.

    It follows half a cosine (paper, section 4.1).
    """
    return 1.0 if step >= steps else (1 - math.cos(math.pi * step / steps)) / 2


def alpha(setting: Alpha, factor: float, loss: float, penalty: float) -> float:
    """Weight α from its setting, and the first step's loss (mean over SAEs) and penalty.

    `balanced` makes an SAE's loss and the penalty equal (paper, section 4.1). `initial_loss` takes the loss itself (section
    4.2). `relative` is multiplied by each SAE's loss at every step, which keeps both equal while the penalty stays the same.
    All are multiplied by `factor`.
    """
    if setting == "relative":
        return factor / max(penalty, 1e-12)
    if setting == "balanced":
        return factor * loss / max(penalty, 1e-12)
    if setting == "initial_loss":
        return factor * loss
    return factor * setting
