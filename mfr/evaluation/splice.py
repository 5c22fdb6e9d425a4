"""Damage to a language model if SAE reconstructions replace the activations at its hook."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch

from mfr.config.language_model import LanguageModel
from mfr.config.source import SourceSection
from mfr.evaluation.logits import Logits
from mfr.evaluation.own import Measures, Reconstruct
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.language_model.model import check, load, prepared
from mfr.sources.language_model.tokens import is_kept
from mfr.vectors.reader import Vectors

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

LOGITS_AT_ONCE = 1 << 24
# Logits that are compared at once, small enough to stay in a core's cache.
LOGITS_COMPARED = 1 << 19


@dataclass(frozen=True)
class Damage:
    """Effect of a replacement on the model's next tokens: means over positions, in nats.

    kl is the Kullback–Leibler divergence KL(intact ‖ damaged) of the next-token distributions.
    """

    cross_entropy: float
    kl: float


@dataclass(frozen=True)
class Damages:
    """The intact model's cross-entropy, and the damage by each replacement.

    Replacements are zeros, the mean activation, and each SAE's reconstruction.
    """

    intact: float
    zero: Damage
    mean: Damage
    spliced: list[Damage]

    def recovered(self, damage: Damage, ablation: Damage) -> float:
        """Share of an ablation's damage that a replacement avoids.

        1 is as good as the intact model, 0 as bad as the ablation.
        """
        return (ablation.cross_entropy - damage.cross_entropy) / (ablation.cross_entropy - self.intact)


def measures(
    section: SourceSection, heldout: Vectors, mean: torch.Tensor, reconstructions: Sequence[Reconstruct], device: torch.device
) -> Measures:
    """Cross-entropy intact, ablated, and with each SAE spliced in (paper, section 2.2).

    The loss recovered is the share of the damage by zeros, or by the mean activation, that an SAE avoids. Raises `UserError` if
    there are too few sequences, if the model's loss is NaN or infinite, if ablation does no damage, or if the section is of
    another source.
    """
    if not isinstance(section, LanguageModel):
        raise UserError(
            f"{heldout.path}: activations of a language model in place of another source's vectors; make those again"
        )
    settings = section.evaluate
    tokens, hook = torch.from_numpy(heldout.attached("tokens")), heldout.fact("hook")
    if len(tokens) < settings.sequences:
        raise UserError(
            f"evaluate.sequences: {heldout.path} has {len(tokens)} sequences, fewer than {settings.sequences}; "
            "ask for fewer, or raise dump_activations.heldout_tokens"
        )
    tokens = tokens[: settings.sequences]
    replaced = is_kept(tokens, json.loads(heldout.fact("left_out_tokens")))
    model = load(prepared(paths.MODEL, section.prepare_model.model), device)
    damage = damages(model, tokens, replaced, hook, mean, reconstructions)
    if not math.isfinite(damage.intact):
        raise UserError(f"evaluate: the model's loss on {heldout.path} is {damage.intact}; choose another model or text")
    for name, ablation in (("zeros", damage.zero), ("the mean", damage.mean)):
        # Up to rounding; a share of so small a damage would mean nothing.
        if math.isclose(ablation.cross_entropy, damage.intact, rel_tol=1e-6):
            raise UserError(f"dump_activations.hook: {name} at {hook} leaves the model's loss unchanged; choose another hook")
    of_saes = [
        {
            "cross_entropy": spliced.cross_entropy,
            "kl": spliced.kl,
            "loss_recovered": damage.recovered(spliced, damage.zero),
            "loss_recovered_of_mean": damage.recovered(spliced, damage.mean),
        }
        for spliced in damage.spliced
    ]
    return Measures(of_saes, {"intact": damage.intact, "zero": damage.zero.cross_entropy, "mean": damage.mean.cross_entropy})


def damages(
    model: "TransformerBridge",
    tokens: torch.Tensor,
    replaced: torch.Tensor,
    hook: str,
    mean: torch.Tensor,
    reconstructions: Sequence[Reconstruct],
) -> Damages:
    """Damage by replacing the activations at `hook` at some positions of tokens (S, T).

    Activations at the positions `replaced` (S, T) give way to zeros, to `mean` (d), and to each reconstruction, (rows, d) →
    (rows, d); the others stay. One pass reads the activations and the intact output, and each replacement takes one more.
    Raises what `check` raises.
    """
    check(model, tokens, hook)
    sums = torch.zeros(3 + len(reconstructions), 2, dtype=torch.float64)
    model_logits = Logits(model, hook, tokens[:1])
    at_once = max(1, LOGITS_AT_ONCE // (tokens.shape[1] * model.cfg.d_vocab))
    for batch, where in zip(torch.split(tokens, at_once), torch.split(replaced, at_once), strict=True):
        kept, logits = model_logits.intact(batch)
        intact = Intact(logits, batch)
        where = where.to(kept.device)
        rows = kept[where]
        sums[0, 0] += intact.cross_entropy
        replacements = chain([torch.zeros_like(rows), mean.to(rows).expand_as(rows)], (f(rows) for f in reconstructions))
        for total, replacement in zip(sums[1:], replacements, strict=True):
            spliced = kept.clone()
            spliced[where] = replacement
            total += intact.damage(model_logits.spliced(batch, spliced))
    (loss, _), zero, mean_ablated, *spliced_in = (sums / (tokens.shape[0] * (tokens.shape[1] - 1))).tolist()
    return Damages(loss, Damage(*zero), Damage(*mean_ablated), [Damage(*values) for values in spliced_in])


class Intact:
    """Next-token distributions of the intact model, from its logits (R, V) at the first T − 1 positions of tokens (S, T).

    cross_entropy is a sum over positions, in nats.
    """

    def __init__(self, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        self.following = tokens[:, 1:].reshape(-1, 1).to(logits.device, torch.int64)
        self.log_p = logits.log_softmax(dim=1)
        self.p = self.log_p.exp()
        self.cross_entropy = -self.log_p.gather(1, self.following).sum().double().cpu()
        self._terms = torch.empty_like(self.p)

    def damage(self, logits: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of a damaged model's logits (R, V), and KL(intact ‖ damaged), as sums over positions."""
        at_once = max(1, LOGITS_COMPARED // logits.shape[1])
        chosen = []
        of_rows = (logits, self.following, self.log_p, self.p, self._terms)
        for rows, following, log_p, p, terms in zip(*(torch.split(each, at_once) for each in of_rows), strict=True):
            torch.log_softmax(rows, dim=1, out=terms)
            chosen.append(terms.gather(1, following))
            torch.sub(log_p, terms, out=terms).mul_(p)
        return torch.stack([-torch.cat(chosen).sum(), self._terms.sum()]).double().cpu()
