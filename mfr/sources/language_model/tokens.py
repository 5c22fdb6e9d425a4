"""Pack documents into sequences of tokens, and select the positions that give vectors."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from mfr.runtime.errors import UserError

DOCUMENTS_AT_ONCE = 16


def tokenise(tokenizer: PreTrainedTokenizerBase, documents: Iterable[str], context: int) -> Iterator[np.ndarray]:
    """Sequences (context,) of int32 token ids: BOS, then tokens of the documents.

    Documents are joined by the end-of-text token and may span several sequences. An incomplete last sequence is dropped.
    Special tokens that are spelled out in a text are read as plain text. If the tokenizer has only one of BOS and
    end-of-text, it serves as both; raises `UserError` if it has neither.
    """
    bos, eos = _first_and_separator(tokenizer)
    waiting: list[int] = []
    unread = iter(documents)
    while group := list(islice(unread, DOCUMENTS_AT_ONCE)):
        encoded = tokenizer(group, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        waiting.extend(chain.from_iterable([*ids, eos] for ids in encoded))
        full = len(waiting) // (context - 1) * (context - 1)
        for start in range(0, full, context - 1):
            yield np.array([bos, *waiting[start : start + context - 1]], dtype=np.int32)
        waiting = waiting[full:]


def _first_and_separator(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    if bos is None and eos is None:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has neither a BOS nor an end-of-text token, which start sequences and "
            "separate documents; set its bos_token or eos_token"
        )
    return (eos if bos is None else bos), (bos if eos is None else eos)


def left_out_tokens(tokenizer: PreTrainedTokenizerBase, left_out: Literal["bos", "special_tokens"]) -> list[int]:
    """Tokens that give no vector at any position.

    All special tokens, or none if only the first position (BOS) is left out.
    """
    return sorted(tokenizer.all_special_ids) if left_out == "special_tokens" else []


def is_kept(tokens: torch.Tensor, left_out: Sequence[int]) -> torch.Tensor:
    """Which positions of tokens (S, T) give vectors, as (S, T) bool.

    All do except the first of each sequence (BOS) and those of tokens in `left_out`.
    """
    kept = ~torch.isin(tokens, torch.tensor(left_out, dtype=tokens.dtype, device=tokens.device))
    kept[:, 0] = False
    return kept
