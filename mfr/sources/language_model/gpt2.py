"""Train a small GPT-2, so that there is a language model to study without a network."""

import math
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from mfr.compute.seeds import stream_seed, torch_stream
from mfr.config.language_model import TrainedHere
from mfr.runtime.errors import UserError
from mfr.runtime.progress import Ticker
from mfr.sources.language_model.loading import check_finite
from mfr.sources.language_model.tokens import tokenise

END_OF_TEXT = "<|endoftext|>"
CHARACTERS_A_TOKEN = 6
WARMUP_SHARE = 0.05
GRADIENT_NORM = 1.0


def train_small_gpt2(documents: Iterable[str], shape: TrainedHere, folder: Path, device: torch.device, ticker: Ticker) -> None:
    """Train a tokenizer and a model on `documents`; save both to `folder` for Hugging Face.

    Raises `UserError` if the text is too short for one batch, or if the loss or a weight becomes NaN or infinite.
    """
    texts = list(_enough(documents, shape.steps * shape.batch * shape.context * CHARACTERS_A_TOKEN))
    tokenizer = train_tokenizer(texts, shape.vocabulary)
    ticker("prepare_model: tokenizer trained")
    sequences = list(tokenise(tokenizer, texts, shape.context))
    if len(sequences) < shape.batch:
        raise UserError(
            f"prepare_model.trained_here.batch = {shape.batch}: the training documents give only {len(sequences)} sequences "
            f"of {shape.context} tokens; give more text, or a smaller batch"
        )
    model = new_model(shape, tokenizer).to(device)
    fit(model, torch.from_numpy(np.stack(sequences)), shape, ticker)
    check_finite(model, "prepare_model", "lower prepare_model.trained_here.learning_rate")
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair tokenizer; its one special token starts, ends and pads texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )


def new_model(shape: TrainedHere, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """An untrained GPT-2 without dropout; `shape.seed` determines its weights."""
    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed("model_weights", shape.seed))
        return GPT2LMHeadModel(config)


def fit(model: GPT2LMHeadModel, sequences: torch.Tensor, shape: TrainedHere, ticker: Ticker) -> None:
    """Train `model` on sequences (S, T) to predict the next token.

    Uses AdamW with a linear warm-up and a cosine decay. Raises `UserError` if the loss becomes NaN or infinite.
    """
    optimiser = torch.optim.AdamW(model.parameters(), shape.learning_rate, betas=(0.9, 0.95), fused=True)
    batches = _batches(sequences, shape.batch, shape.seed)
    for step, batch in zip(range(shape.steps), batches, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = shape.learning_rate * _schedule(step, shape.steps)
        tokens = batch.to(model.device, torch.int64)
        logits = model(tokens[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimiser.step()
        if not math.isfinite(loss.item()):
            raise UserError(
                f"prepare_model: the loss is {loss.item()} at step {step}; lower prepare_model.trained_here.learning_rate"
            )
        ticker(f"prepare_model: step {step + 1} of {shape.steps}, cross-entropy {loss.item():.2f}")


def _schedule(step: int, steps: int) -> float:
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))


def _batches(sequences: torch.Tensor, batch: int, seed: int) -> Iterator[torch.Tensor]:
    for epoch in count():
        order = torch.randperm(len(sequences), generator=torch_stream("model_order", seed, epoch))
        for chosen in torch.split(order[: len(order) // batch * batch], batch):
            yield sequences[chosen]


def _enough(documents: Iterable[str], characters: int) -> Iterator[str]:
    for document in documents:
        yield document
        characters -= len(document)
        if characters <= 0:
            return
