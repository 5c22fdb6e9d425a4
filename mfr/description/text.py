"""What a language model's features stand for: the text in which they are active, and the tokens that they promote."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerBase

from mfr.description.contexts import Contexts
from mfr.runtime import paths
from mfr.sources.language_model.model import load
from mfr.vectors.reader import Vectors

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOKENS_BEFORE, TOKENS_AFTER = 10, 5
LOGITS_AT_ONCE = 1 << 22
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Text(Contexts):
    """The text around each token, and the tokens that features promote."""

    def __init__(self, heldout: Vectors, model: "TransformerBridge") -> None:
        self.model = model
        self.tokens, self.sequence, self.position = (heldout.attached(name) for name in ("tokens", "sequence", "position"))

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Column top_contexts."""
        return {"top_contexts": around(self.model.tokenizer, self.tokens, self.sequence[rows], self.position[rows])}

    def of_features(self, W: torch.Tensor, most: int) -> dict[str, object]:
        """Columns promoted_tokens and promoted_logits; empty if features are not of the residual stream's size."""
        if W.shape[1] != self.model.cfg.d_model:
            return {"promoted_tokens": None, "promoted_logits": None}
        tokens, logits = promoted(self.model, W, most)
        return {"promoted_tokens": list(tokens), "promoted_logits": list(logits)}


def contexts(heldout: Vectors, device: torch.device) -> Contexts:
    """Text of held-out tokens, with the model that read it."""
    return Text(heldout, load(paths.MODEL, device))


def around(tokenizer: PreTrainedTokenizerBase, tokens: np.ndarray, sequences: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The text (N,) around the tokens at `positions` of `sequences` (N,) of `tokens` (S, T), such as `…brown« fox» jumps…`.

    The token is marked as the tokenizer reads it, its space included; where it is a part of a character, the character is.
    10 tokens before it and 5 after are given, within the sequence and without its BOS.
    """
    places, again = np.unique(np.stack([sequences, positions]), axis=1, return_inverse=True)
    texts = [_context(tokenizer, tokens[sequence].tolist(), position) for sequence, position in places.T.tolist()]
    return np.array(texts, dtype=object)[again]


def _context(tokenizer: PreTrainedTokenizerBase, tokens: list[int], position: int) -> str:
    start, stop = max(1, position - TOKENS_BEFORE), position + 1 + TOKENS_AFTER
    # Tokens by themselves may lose their space, or be bytes of half a character: what each adds to the text does not.
    before = len(_text(tokenizer, tokens[start:position]).removesuffix(INCOMPLETE))
    through = len(_text(tokenizer, tokens[start : position + 1]))
    text = _text(tokenizer, tokens[start:stop])
    cut_before, cut_after = "…" * (start > 1), "…" * (stop < len(tokens))
    return f"{cut_before}{text[:before]}«{text[before:through]}»{text[through:]}{cut_after}"


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    return tokenizer.decode(tokens, clean_up_tokenization_spaces=False)


def promoted(model: "TransformerBridge", W: torch.Tensor, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The `most` tokens (h, most), as text, that each feature of W (h, d) promotes, and their logits (h, most).

    The logits are those that the model would give if its residual stream were the feature alone, at the length √d, less
    the unembedding's and the norm's biases and their mean over the vocabulary: √d Ŵ diag(weight of the final norm) W_U,
    with Ŵ's mean removed first where that norm removes means.
    """
    size = W.shape[1]
    with torch.no_grad():
        biases = _logits(model, torch.zeros(1, size, device=W.device))
        blocks = normalize(W, dim=1).mul(size**0.5).split(max(1, LOGITS_AT_ONCE // model.cfg.d_vocab))
        found = [_centred(_logits(model, block) - biases).topk(most, dim=1) for block in blocks]
    tokens = torch.cat([best.indices for best in found]).cpu().numpy()
    distinct, again = np.unique(tokens, return_inverse=True)
    texts = np.array([_text(model.tokenizer, [token]) for token in distinct.tolist()], dtype=object)
    return texts[again].reshape(tokens.shape), torch.cat([best.values for best in found]).cpu().numpy()


def _logits(model: "TransformerBridge", residual: torch.Tensor) -> torch.Tensor:
    # Some models have more rows than tokens, to make their number round.
    return model.unembed(model.ln_final(residual))[:, : len(model.tokenizer)]


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(dim=1, keepdim=True)
