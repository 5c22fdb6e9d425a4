"""Random-weight models, each saved as a Hugging Face folder with a tokenizer: of three architectures, and a loud GPT-2."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from mfr.config.language_model import TrainedHere
from mfr.sources.language_model.gpt2 import new_model, train_tokenizer

VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS = 400, 16, 24, 3, 2
SHAPE = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}


def gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def gpt_neox() -> PreTrainedModel:
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE))


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=1))


MODELS = {"gpt2": gpt2, "gpt_neox": gpt_neox, "llama": llama}
SPECIAL = {
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "gpt_neox": {"eos_token": "<|endoftext|>", "pad_token": "<|padding|>"},
    "llama": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
}


def save(architecture: str, texts: list[str], folder: Path) -> Path:
    """Write the model and a tokenizer trained on `texts`; GPT-NeoX's has no BOS, Llama's marks words by ▁."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MODELS[architecture]().save_pretrained(folder)
    special = SPECIAL[architecture]
    tokenizer = Tokenizer(models.BPE(unk_token=special.get("unk_token")))
    options = {"vocab_size": VOCABULARY, "special_tokens": [*dict.fromkeys(special.values())], "show_progress": False}
    if architecture == "llama":
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(**options))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def save_loud(shape: TrainedHere, folder: Path) -> Path:
    """A small GPT-2 with weights large enough for its layers to matter."""
    tokenizer = train_tokenizer(["the quick brown fox jumps over the lazy dog"] * 20, shape.vocabulary)
    model = new_model(shape, tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
