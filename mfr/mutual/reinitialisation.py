"""Reinitialise SAEs with unbalanced firing (paper, section 3.3 and figure 6)."""

import torch

from mfr.config.training import Reinitialise
from mfr.saes.ensemble import unevenness
from mfr.saes.step import Member


def to_restart(rule: Reinitialise, step: int, shares: torch.Tensor, k: list[int], restarts: list[int]) -> list[int]:
    """Indices of the SAEs to reinitialise after `step` steps.

    shares (n, h) are the shares of the batch in which latents were selected; restarts (n) counts each SAE's earlier restarts.
    """
    if step > rule.check_steps or step % rule.check_every:
        return []
    uneven = [unevenness(share, own_k, rule.statistic) > rule.threshold for share, own_k in zip(shares, k, strict=True)]
    return [i for i, is_uneven in enumerate(uneven) if is_uneven and restarts[i] < rule.max_reinits]


def restart(member: Member, W: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Give an SAE the weights W (h, d), zero biases and a zeroed optimizer state."""
    member.W.copy_(W)
    member.b.zero_()
    for parameter in (member.W, member.b):
        for value in optimizer.state[parameter].values():
            value.zero_()
