import numpy as np
import pytest
import torch

from mfr.runtime.errors import UserError
from mfr.sources.language_model.gpt2 import train_tokenizer
from mfr.sources.language_model.tokens import is_kept, left_out_tokens, tokenise

TEXTS = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs"] * 20


@pytest.fixture
def tokenizer():
    return train_tokenizer(TEXTS, 512)


def test_sequences_pack_the_documents_after_bos(tokenizer):
    texts = [f"document {i} " + "word " * (i % 7) + "<|endoftext|>" * (i % 2) for i in range(40)]
    sequences = list(tokenise(tokenizer, iter(texts), context=10))
    end = tokenizer.eos_token_id
    packed = np.concatenate([sequence[1:] for sequence in sequences])
    assert all(sequence.shape == (10,) and sequence.dtype == np.int32 and sequence[0] == end for sequence in sequences)
    assert (packed == end).sum() in (39, 40)
    joined, whole = "".join(text + "<|endoftext|>" for text in texts), tokenizer.decode(packed)
    assert joined.startswith(whole)
    assert len(tokenizer(joined[len(whole) :], split_special_tokens=True)["input_ids"]) < 20


def test_tokenising_reads_no_further_than_it_must(tokenizer):
    read = []

    def endless():
        while True:
            read.append(1)
            yield "some words that come again and again"

    next(tokenise(tokenizer, endless(), context=12))
    assert len(read) < 50


@pytest.mark.parametrize("missing", ["bos_token", "eos_token"])
def test_one_special_token_serves_for_both(tokenizer, missing):
    both = list(tokenise(tokenizer, TEXTS, context=10))
    setattr(tokenizer, missing, None)
    np.testing.assert_array_equal(list(tokenise(tokenizer, TEXTS, context=10)), both)


def test_a_tokenizer_without_special_tokens_is_refused(tokenizer):
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(UserError, match="has neither a BOS nor an end-of-text token"):
        next(tokenise(tokenizer, TEXTS, context=10))


def test_the_first_position_and_special_tokens_can_be_left_out(tokenizer):
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    tokens = torch.tensor([[end, 5, end, 6], [7, 8, pad, 9]], dtype=torch.int32)
    assert left_out_tokens(tokenizer, "special_tokens") == sorted([end, pad])
    first, special = (is_kept(tokens, left_out_tokens(tokenizer, left_out)) for left_out in ("bos", "special_tokens"))
    assert first.tolist() == [[False, True, True, True], [False, True, True, True]]
    assert special.tolist() == [[False, True, False, True], [False, True, False, True]]
