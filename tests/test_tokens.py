import numpy as np
import pytest
import torch

from mfr.errors import UserError
from mfr.small_gpt2 import train_tokenizer
from mfr.tokens import is_kept, left_out_tokens, tokenise

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
