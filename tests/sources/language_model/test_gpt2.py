import math

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from mfr.config.language_model import TrainedHere
from mfr.runtime.errors import UserError
from mfr.runtime.progress import Ticker
from mfr.sources.language_model.gpt2 import train_small_gpt2, train_tokenizer

SHAPE = TrainedHere(layers=2, width=16, heads=2, vocabulary=512, context=16, batch=8, steps=60, learning_rate=0.01)
TEXTS = [f"one two three four five six seven eight nine ten, number {i}" for i in range(200)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train_small_gpt2(TEXTS, SHAPE, folder, CPU, Ticker(math.inf))
    return folder


def test_the_model_has_learned_the_text(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(TEXTS[3])["input_ids"]]])
    with torch.no_grad():
        loss = model(ids, labels=ids).loss.item()
    assert loss < 0.6 * math.log(SHAPE.vocabulary)


def test_the_folder_tells_shape_and_special_tokens(folder):
    model, tokenizer = GPT2LMHeadModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    config = model.config
    assert (config.n_layer, config.n_embd, config.n_head, config.vocab_size, config.n_positions) == (2, 16, 2, 512, 16)
    assert config.resid_pdrop == config.embd_pdrop == config.attn_pdrop == 0
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == config.bos_token_id
    assert (folder / "model.safetensors").is_file()


def test_training_again_gives_the_same_bytes_and_leaves_the_global_numbers_only(folder, tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train_small_gpt2(iter(TEXTS), SHAPE, tmp_path, CPU, Ticker(math.inf))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


def test_the_seed_changes_the_weights(folder, tmp_path):
    train_small_gpt2(TEXTS, SHAPE.model_copy(update={"seed": 1}), tmp_path, CPU, Ticker(math.inf))
    first, second = (GPT2LMHeadModel.from_pretrained(path).transformer.wpe.weight for path in (folder, tmp_path))
    assert not torch.allclose(first, second)


def test_the_tokenizer_gives_every_text_back():
    tokenizer = train_tokenizer(TEXTS, SHAPE.vocabulary)
    text = "Grüße, 你好 \t\n  spaces — and \x00 bytes"
    assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text


def test_only_as_much_text_is_read_as_the_steps_need(tmp_path):
    read = []

    def endless():
        while True:
            read.append(1)
            yield "some words that come again and again, " * 100

    train_small_gpt2(endless(), SHAPE.model_copy(update={"steps": 2}), tmp_path, CPU, Ticker(math.inf))
    assert len(read) < 10


def test_a_text_too_short_for_a_batch_is_named(tmp_path):
    with pytest.raises(UserError, match=r"batch = 8: .* give only \d+ sequences of 16 tokens; give more text"):
        train_small_gpt2(TEXTS[:2], SHAPE, tmp_path, CPU, Ticker(math.inf))


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(UserError, match=r"loss is (nan|inf) at step \d+; lower .*learning_rate"):
        train_small_gpt2(TEXTS, SHAPE.model_copy(update={"learning_rate": 1e38}), tmp_path, CPU, Ticker(math.inf))


def test_weights_that_are_no_numbers_after_the_last_step_are_named(tmp_path):
    shape = SHAPE.model_copy(update={"learning_rate": 1e40, "steps": 1})
    with pytest.raises(UserError, match=r"^prepare_model: \S+ has NaN or infinite values; lower .*trained_here.learning_rate$"):
        train_small_gpt2(TEXTS, shape, tmp_path, CPU, Ticker(math.inf))
    assert not list(tmp_path.iterdir())


def test_progress_is_shown_on_stderr_and_no_other_noise(tmp_path, capfd):
    train_small_gpt2(TEXTS, SHAPE.model_copy(update={"steps": 2}), tmp_path, CPU, Ticker(0.0))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert [line.split(":")[0] for line in captured.err.splitlines()] == ["prepare_model"] * 3
