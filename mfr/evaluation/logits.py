"""Logits of a language model whose activations at a hook are replaced."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from mfr.sources.language_model.model import run_with_hook, unembed

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

UNEMBEDDED = "unembed.hook_in"
# Of the largest logit: above the rounding of float32, and far below what capping changes.
SAME_WITHIN = 1e-5


class Logits:
    """Logits (R, V) of the next tokens at the first T − 1 positions of tokens (S, T), R = S · (T − 1), with a hook.

    They are the product of `mfr.sources.language_model.model.unembed`, in memory that is used again: logits are valid until the
    next are made. The whole model is run instead if its logits are something else, such as a capped product, or if the hook
    comes later: `tokens` are run to find out.
    """

    def __init__(self, model: "TransformerBridge", hook: str, tokens: torch.Tensor) -> None:
        self.model = model
        self.hook = hook
        self._memory = torch.empty(0)
        self.in_blocks = UNEMBEDDED in model.hook_dict and self._are_unembedded(tokens)

    def intact(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Activations (S, T, d) at the hook, and logits."""
        captured: list[torch.Tensor] = []

        def keep(activations: torch.Tensor, hook: object) -> None:
            captured.append(activations.detach().flatten(2))

        logits = self._of(tokens, keep)
        return captured[0], logits

    def spliced(self, tokens: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Logits with `activations` (S, T, d) at the hook."""

        def replace(before: torch.Tensor, hook: object) -> torch.Tensor:
            return activations.view_as(before)

        return self._of(tokens, replace)

    def _of(self, tokens: torch.Tensor, function: Callable[..., object]) -> torch.Tensor:
        if self.in_blocks:
            return self._unembedded(run_with_hook(self.model, tokens, self.hook, function, until=UNEMBEDDED))
        return run_with_hook(self.model, tokens, self.hook, function)[:, :-1].flatten(0, 1)

    def _unembedded(self, residual: torch.Tensor) -> torch.Tensor:
        """Logits of the activations (S, T, d) that enter the unembedding."""
        rows, vocabulary = residual[:, :-1].flatten(0, 1), len(self.model.unembed.b_U)
        if self._memory.shape != (len(rows), vocabulary):
            self._memory = torch.empty(len(rows), vocabulary, device=rows.device)
        return unembed(self.model, rows, self._memory)

    def _are_unembedded(self, tokens: torch.Tensor) -> bool:
        """Whether the product with the unembedding gives the model's logits, and the hook comes before it."""
        reached: list[object] = []
        whole = run_with_hook(self.model, tokens, self.hook, lambda *_, **__: None)[:, :-1].flatten(0, 1)
        residual = run_with_hook(self.model, tokens, self.hook, lambda *_, **__: reached.append(1), until=UNEMBEDDED)
        if not reached or whole.shape[1] != len(self.model.unembed.b_U):
            return False
        difference = (self._unembedded(residual) - whole).abs().max()
        return bool(difference <= SAME_WITHIN * whole.abs().max())
