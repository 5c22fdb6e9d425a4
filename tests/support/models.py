"""Random-weight models, each saved as a Hugging Face folder with a tokenizer: of three architectures, and a loud GPT-2."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
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


def edit_config(folder: Path, **changes: object) -> None:
    """Change entries of a saved model's config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Replace a saved model's tensors by what `change` makes of them."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def shard(folder: Path) -> list[Path]:
    """Split a saved model's weights into several files with an index; return the files."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    return sorted(folder.glob("model-*.safetensors"))
