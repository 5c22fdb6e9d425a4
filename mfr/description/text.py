"""Contexts of a language model: text around tokens, and tokens that features promote."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerBase

from mfr.config.language_model import LanguageModel
from mfr.config.source import SourceSection
from mfr.description.contexts import Contexts
from mfr.runtime import paths
from mfr.sources.language_model.model import load, prepared, unembed
from mfr.vectors.reader import Vectors

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TOKENS_BEFORE, TOKENS_AFTER = 10, 5
LOGITS_AT_ONCE = 1 << 24
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Text(Contexts):
    """The text around each token, and the tokens that features promote."""

    def __init__(self, heldout: Vectors, model: "TransformerBridge") -> None:
        self.model = model
        self.tokens, self.sequence, self.position = (heldout.attached(name) for name in ("tokens", "sequence", "position"))
        # Latents of several SAEs are most active in the same rows.
        self.texts = np.full(heldout.rows, None, dtype=object)

    def of_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Column top_contexts, as long as `rows`."""
        missing = np.unique(rows[self.texts[rows] == None])  # noqa: E711
        self.texts[missing] = around(self.model.tokenizer, self.tokens, self.sequence[missing], self.position[missing])
        return {"top_contexts": self.texts[rows]}

    def of_features(self, W: torch.Tensor, most: int) -> dict[str, object]:
        """Columns promoted_tokens and promoted_logits.

        Both are None if d is not the size of the residual stream.
        """
        if W.shape[1] != self.model.cfg.d_model:
            return {"promoted_tokens": None, "promoted_logits": None}
        tokens, logits = promoted(self.model, W, most)
        return {"promoted_tokens": list(tokens), "promoted_logits": list(logits)}


def contexts(section: SourceSection, heldout: Vectors, device: torch.device) -> Contexts:
    """The contexts of a file of held-out activations, with the model that made them."""
    assert isinstance(section, LanguageModel)
    return Text(heldout, load(prepared(paths.MODEL, section.prepare_model.model), device))


def around(tokenizer: PreTrainedTokenizerBase, tokens: np.ndarray, sequences: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The text around N tokens, such as `…brown« fox» jumps…`, as strings (N,).

    The tokens are at `positions` (N,) of `sequences` (N,) of `tokens` (S, T). The marked token includes its space; if it is
    only part of a character, the whole character is marked. The text has up to 10 tokens before it and 5 after it, within
    the sequence and without BOS.
    """
    places, again = np.unique(np.stack([sequences, positions]), axis=1, return_inverse=True)
    texts = [_context(tokenizer, tokens[sequence].tolist(), position) for sequence, position in places.T.tolist()]
    return np.array(texts, dtype=object)[again]


def _context(tokenizer: PreTrainedTokenizerBase, tokens: list[int], position: int) -> str:
    start, stop = max(1, position - TOKENS_BEFORE), position + 1 + TOKENS_AFTER
    # A token decoded by itself may lose its space or be half a character; what it adds to the decoded text does not.
    before = len(_text(tokenizer, tokens[start:position]).removesuffix(INCOMPLETE))
    through = len(_text(tokenizer, tokens[start : position + 1]))
    text = _text(tokenizer, tokens[start:stop])
    cut_before, cut_after = "…" * (start > 1), "…" * (stop < len(tokens))
    # Characters that the cuts split are left out.
    left, right = text[:before].lstrip(INCOMPLETE), text[through:].rstrip(INCOMPLETE)
    return f"{cut_before}{left}«{text[before:through]}»{right}{cut_after}"


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    text: str = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    return text


def promoted(model: "TransformerBridge", W: torch.Tensor, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The `most` tokens that each feature of W (h, d) promotes most, and their logits.

    Returns the tokens as text (h, most) and the logits (h, most). The logits are those of a residual stream that is only the
    feature, scaled to length √d: √d Ŵ diag(weight of the final norm) W_U. The mean of Ŵ is removed first if that norm
    removes means. The biases of norm and unembedding are subtracted, then the mean over the vocabulary.
    """
    # Some models pad the unembedding with rows that belong to no token.
    size, known = W.shape[1], min(len(model.tokenizer), len(model.unembed.b_U))

    def logits(residual: torch.Tensor) -> torch.Tensor:
        return unembed(model, model.ln_final(residual), torch.empty(len(residual), known, device=W.device))

    with torch.no_grad():
        biases = logits(torch.zeros(1, size, device=W.device))
        blocks = torch.split(normalize(W, dim=1).mul(size**0.5), max(1, LOGITS_AT_ONCE // known))
        found = [_centred(logits(block).sub_(biases)).topk(most, dim=1) for block in blocks]
    tokens = torch.cat([best.indices for best in found]).cpu().numpy()
    distinct, again = np.unique(tokens, return_inverse=True)
    texts = np.array([_text(model.tokenizer, [token]) for token in distinct.tolist()], dtype=object)
    return texts[again].reshape(tokens.shape), torch.cat([best.values for best in found]).cpu().numpy()


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits.sub_(logits.mean(dim=1, keepdim=True))
