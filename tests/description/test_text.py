import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mfr.config.language_model import TrainedHere
from mfr.description.text import TOKENS_AFTER, TOKENS_BEFORE, around, promoted
from mfr.sources.language_model.gpt2 import new_model, train_tokenizer
from mfr.sources.language_model.model import load, prepared, trained_here
from mfr.sources.manifest import MANIFEST

WIDTH, LENGTH = 16, 24
TEXT = "the quick brown fox jumps over the lazy dog, and packs my box with five dozen liquor jugs; "


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([TEXT] * 20, 512)


@pytest.fixture(scope="module")
def tokens(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    ids = tokenizer(TEXT * 4)["input_ids"]
    return np.array([[tokenizer.bos_token_id, *ids[start : start + LENGTH - 1]] for start in (0, 7)], dtype=np.int32)


def test_the_token_is_marked_in_the_text_around_it(tokenizer: PreTrainedTokenizerBase, tokens: np.ndarray) -> None:
    sequences, positions = (array.flatten() for array in np.mgrid[0:2, 1:LENGTH])
    for text, sequence, position in zip(around(tokenizer, tokens, sequences, positions), sequences, positions, strict=True):
        start, stop = max(1, position - TOKENS_BEFORE), position + TOKENS_AFTER + 1
        assert re.findall("«(.*)»", text) == [tokenizer.decode(tokens[sequence, position])]
        unmarked = re.sub("[«»…]", "", text)
        assert unmarked == tokenizer.decode(tokens[sequence, start:stop]) and unmarked in TEXT * 4
        assert text.startswith("…") == (start > 1) and text.endswith("…") == (stop < LENGTH)
        assert text[: text.index("«")].strip("…") == tokenizer.decode(tokens[sequence, start:position])


def test_contexts_come_in_the_order_of_their_rows(tokenizer: PreTrainedTokenizerBase, tokens: np.ndarray) -> None:
    sequences, positions = np.array([1, 0, 1, 1]), np.array([9, 3, 2, 9])
    found = around(tokenizer, tokens, sequences, positions)
    for text, sequence, position in zip(found, sequences, positions, strict=True):
        assert [text] == around(tokenizer, tokens, np.array([sequence]), np.array([position])).tolist()
    assert len(set(found)) == 3


def test_a_token_that_is_a_part_of_a_character_marks_the_character(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("a fox 🦊 over", add_special_tokens=False)["input_ids"]
    tokens = np.array([[tokenizer.bos_token_id, *ids]])
    parts = [i for i in range(1, tokens.shape[1]) if "�" in tokenizer.decode(tokens[0, i])]
    found = around(tokenizer, tokens, np.zeros(len(parts), int), np.array(parts))
    assert len(parts) == 4 and {re.sub(" ?«[ ]?", "«", text) for text in found} == {"a fox«🦊» over"}


def test_characters_that_the_cuts_split_are_left_out(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("🦊🦊🦊🦊🦊🦊🦊🦊", add_special_tokens=False)["input_ids"]
    positions = np.arange(1, len(ids))
    found = around(tokenizer, np.array([[tokenizer.bos_token_id, *ids]]), np.zeros(len(positions), int), positions)
    assert len(ids) >= 32 and {re.sub("[«»…🦊]", "", text) for text in found} == {""}
    assert all("«🦊»" in text for text in found)


def test_tokenizers_that_drop_a_first_space_keep_it_inside_the_text() -> None:
    words = ["<s>", "▁brown", "▁fox", "es", "▁jump"]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<s>"))
    plain.pre_tokenizer, plain.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>")
    assert tokenizer.decode([2]) == "fox"
    tokens, sequences = np.arange(5)[None], np.zeros(3, int)
    found = around(tokenizer, tokens, sequences, np.array([1, 2, 3]))
    assert found.tolist() == ["«brown» foxes jump", "brown« fox»es jump", "brown fox«es» jump"]


def test_promoted_tokens_are_those_of_the_weights(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = TrainedHere(layers=1, width=WIDTH, heads=2, vocabulary=512, context=LENGTH, steps=1)
    plain = new_model(shape, tokenizer)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        plain.transformer.ln_f.weight.copy_(torch.rand(WIDTH, generator=random) + 0.2)
        plain.transformer.ln_f.bias.copy_(torch.randn(WIDTH, generator=random))
    plain.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / MANIFEST).write_text(trained_here(tmp_path).text())
    monkeypatch.setattr("mfr.description.text.LOGITS_AT_ONCE", 3 * 512)
    W = 3 * torch.randn(8, WIDTH, generator=random)
    texts, logits = promoted(load(prepared(tmp_path), torch.device("cpu")), W, 6)

    assert len(tokenizer) < 512
    weights = GPT2LMHeadModel.from_pretrained(tmp_path).state_dict()
    centred = W - W.mean(dim=1, keepdim=True)
    scores = centred / centred.norm(dim=1, keepdim=True) * WIDTH**0.5 * weights["transformer.ln_f.weight"]
    scores = scores @ weights["transformer.wte.weight"][: len(tokenizer)].T
    expected = (scores - scores.mean(dim=1, keepdim=True)).topk(6, dim=1)
    np.testing.assert_allclose(logits, expected.values.numpy(), rtol=1e-3)
    assert texts.tolist() == [[tokenizer.decode(token) for token in row] for row in expected.indices]
