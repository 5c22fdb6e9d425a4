"""Models that cannot be studied: weights that are not all their own, configurations that are wrong, other architectures."""

import builtins
import errno
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from mfr.runtime.errors import UserError
from mfr.sources.language_model.loading import Refusing
from mfr.sources.language_model.model import check_usable, load, pin
from tests.support.models import CONTEXT, HEADS, LAYERS, VOCABULARY, WIDTH, edit_config, edit_weights, save, shard

TEXTS = [f"text number {i} holds some words" for i in range(80)]
ARCHITECTURES = {"transformer": "gpt2", "gpt_neox": "gpt_neox", "model": "llama"}  # by the prefix of their tensors
OTHER_CODE = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XModel"}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(name, TEXTS, tmp_path_factory.mktemp(name)) for name in ARCHITECTURES.values()}


@pytest.fixture
def copied(saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Copies a model to the folder `model`, where nobody answers questions."""

    def answer(*_: object) -> str:
        raise AssertionError("asked on standard input")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "input", answer)
    return lambda name: Path(shutil.copytree(saved[name], "model"))


def refusal() -> str:
    with pytest.raises(UserError) as error:
        check_usable(pin("model", None))
    message = str(error.value)
    assert "\n" not in message and message.startswith("model: ") and len(message) < 500
    return message


@pytest.mark.parametrize("architecture", ARCHITECTURES.values())
def test_weights_under_other_names_or_none(copied: Callable[[str], Path], architecture: str) -> None:
    folder, misfit = copied(architecture), "model: the weights do not fit config.json"
    edit_weights(folder, lambda tensors: {f"wrapped.{name}": tensor for name, tensor in tensors.items()})
    names = r"\S+, \S+, \S+, … and \d+ more"
    assert re.match(rf"{misfit} \(missing: {names}; unknown to this architecture: wrapped\.{names}\); check that", refusal())
    edit_weights(folder, lambda _: {})
    assert re.match(rf"{misfit} \(missing: {names}\); check that both belong to the same model", refusal())


@pytest.mark.parametrize(
    "tensor",
    ["transformer.h.1.mlp.c_proj.weight", "gpt_neox.layers.1.mlp.dense_4h_to_h.bias", "model.layers.1.mlp.down_proj.weight"],
)
def test_one_tensor_that_is_missing_or_of_another_shape(copied: Callable[[str], Path], tensor: str) -> None:
    folder, misfit = copied(ARCHITECTURES[tensor.partition(".")[0]]), "model: the weights do not fit config.json"
    edit_weights(folder, lambda tensors: tensors | {tensor: torch.zeros(2, 3)})
    assert refusal().startswith(f"{misfit} (of another shape: {tensor} (2, 3) instead of (")
    edit_weights(folder, lambda tensors: {name: tensors[name] for name in tensors if name != tensor})
    assert refusal().startswith(f"{misfit} (missing: {tensor}); check that")


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("gpt2", {"n_layer": 4}, r"missing: transformer\.h\.2\.attn\.c_attn\.bias, .*, … and 21 more\);"),
        ("gpt2", {"n_layer": 1}, r"unknown to this architecture: transformer\.h\.1\."),
        ("gpt2", {"n_layer": 0}, r"unknown to this architecture: transformer\.h\.0\."),
        ("gpt2", {"n_layer": -2}, r"unknown to this architecture: transformer\.h\.0\."),
        ("gpt2", {"vocab_size": 500}, r"of another shape: transformer\.wte\.weight \(400, 24\) instead of \(500, 24\)\);"),
        ("gpt2", {"n_embd": None}, r"of another shape: .*, … and 25 more\);"),
        ("gpt2", {"tie_word_embeddings": False}, r"missing: lm_head\.weight\);"),
        ("llama", {"num_hidden_layers": 3}, r"missing: model\.layers\.2\."),
        ("llama", {"num_hidden_layers": 1}, r"unknown to this architecture: model\.layers\.1\."),
        ("llama", {"num_key_value_heads": 3}, r"of another shape: model\.layers\.0\.self_attn\.k_proj\.weight \(8, 24\)"),
        ("gpt_neox", {"num_hidden_layers": 3}, r"missing: gpt_neox\.layers\.2\."),
    ],
)
def test_a_configuration_of_another_model(
    copied: Callable[[str], Path], architecture: str, changes: dict[str, object], message: str
) -> None:
    edit_config(copied(architecture), **changes)
    assert re.match(rf"model: the weights do not fit config.json \({message}", refusal())


def test_shards_are_read_and_one_that_the_index_lacks_is_missing(copied: Callable[[str], Path]) -> None:
    folder = copied("llama")
    whole = load(pin("model", None), torch.device("cpu")).state_dict()
    shards = shard(folder)
    sharded = load(pin("model", None), torch.device("cpu")).state_dict()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole) and whole.keys() == sharded.keys()
    index = folder / "model.safetensors.index.json"
    index.write_text("\n".join(line for line in index.read_text().split("\n") if shards[1].name not in line))
    assert "(missing: model.embed_tokens.weight);" in refusal()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(copied: Callable[[str], Path], value: float) -> None:
    def change(tensors: Tensors) -> Tensors:
        tensors["transformer.h.1.mlp.c_fc.weight"][3, 2] = value
        return tensors

    edit_weights(copied("gpt2"), change)
    expected = "model: transformer.h.1.mlp.c_fc.weight has NaN or infinite values; fetch or save the weights again"
    assert refusal() == expected


def test_weights_beyond_float32(copied: Callable[[str], Path]) -> None:
    edit_weights(copied("gpt2"), lambda tensors: {name: tensor.double() * 1e300 for name, tensor in tensors.items()})
    assert "has NaN or infinite values" in refusal()


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("gpt2", {"n_head": 5}, "`embed_dim` must be divisible by num_heads"),
        ("gpt2", {"n_head": 0}, "division or modulo by zero"),
        ("gpt2", {"n_embd": -24}, "negative dimension"),
        ("gpt2", {"n_layer": "2"}, "config.json cannot be used (Validation error for field 'n_layer'"),
        ("gpt2", {"activation_function": "nope"}, "KeyError: 'nope'"),
        ("gpt2", {"dtype": "nonsense"}, "config.json cannot be used (module 'torch' has no attribute 'nonsense')"),
        ("gpt2", {"layer_norm_epsilon": -5.0}, "its output is NaN or infinite; check its config.json"),
        ("gpt2", {"model_type": None, "architectures": None}, "config.json cannot be used (Unrecognized model"),
        ("gpt2", {"model_type": "foo"}, "does not recognize this architecture); correct it"),
        ("gpt2", {"model_type": "foo", "auto_map": OTHER_CODE}, "brings its own code (auto_map in config.json), and code"),
        ("llama", {"num_attention_heads": 5}, "config.json cannot be used (Class validation error"),
        ("llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "cannot be loaded (Loading a GPTQ quantized"),
    ],
)
def test_a_configuration_that_makes_no_model(
    copied: Callable[[str], Path], architecture: str, changes: dict[str, object], message: str
) -> None:
    edit_config(copied(architecture), **changes)
    assert message in refusal()


def config(kind: type[transformers.PreTrainedConfig], **changes: object) -> transformers.PreTrainedConfig:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return kind(**{"vocab_size": VOCABULARY, **shape, **changes})


OTHERS: dict[str, tuple[Callable[[], transformers.PreTrainedModel], str]] = {
    "unknown to transformer-lens": (
        lambda: transformers.CTRLLMHeadModel(
            transformers.CTRLConfig(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=16, dff=32, n_layer=2, n_head=2)
        ),
        "transformer-lens does not know the architecture CTRLLMHeadModel; name another model",
    ),
    "encoder-decoder": (
        lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
        ),
        "T5ForConditionalGeneration is not a causal language model; name a causal (decoder-only) language model",
    ),
    "masked": (
        lambda: transformers.BertForMaskedLM(config(transformers.BertConfig)),
        "BertForMaskedLM is not a causal language model",
    ),
    "of images": (
        lambda: transformers.ViTModel(config(transformers.ViTConfig, image_size=16)),
        "ViTModel is not a causal language model",
    ),
    "sees later tokens": (
        lambda: transformers.Gemma3ForCausalLM(
            config(transformers.Gemma3TextConfig, num_key_value_heads=2, head_dim=8, use_bidirectional_attention=True)
        ),
        "not a causal language model (its output depends on later tokens)",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_of_another_kind(copied: Callable[[str], Path], kind: str) -> None:
    make, message = OTHERS[kind]
    make().save_pretrained(copied("gpt2"))
    assert message in refusal()


def as_gpt2(kind: type[transformers.PreTrainedModel]) -> transformers.PreTrainedModel:
    shape = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    return kind(transformers.GPT2Config(**shape, bos_token_id=0, eos_token_id=0, pad_token_id=0))


@pytest.mark.parametrize(
    ("kind", "ignored"),
    [
        (transformers.GPT2Model, ""),
        (transformers.GPT2ForSequenceClassification, "ignores tensors that GPT2LMHeadModel does not have: score.weight"),
        (transformers.GPT2ForTokenClassification, "GPT2LMHeadModel does not have: classifier.bias, classifier.weight"),
    ],
)
def test_another_head_is_ignored_and_named(
    copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str], kind: type[transformers.PreTrainedModel], ignored: str
) -> None:
    plain = as_gpt2(kind)
    plain.save_pretrained(copied("gpt2"))
    bridge = load(pin("model", None), torch.device("cpu"))
    assert ignored in capsys.readouterr().err
    base = plain.base_model
    assert torch.equal(bridge.original_model.transformer.h[1].mlp.c_fc.original_component.weight, base.h[1].mlp.c_fc.weight)


@pytest.mark.parametrize(
    ("architecture", "buffers"),
    [
        ("gpt2", {"transformer.h.0.attn.bias": (1, 1, 16, 16), "transformer.h.0.attn.masked_bias": ()}),
        ("gpt_neox", {"gpt_neox.layers.0.attention.bias": (1, 1, 16, 16), "gpt_neox.layers.0.attention.masked_bias": ()}),
        ("gpt_neox", {"gpt_neox.layers.0.attention.rotary_emb.inv_freq": (1,)}),
        ("llama", {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}),
    ],
)
def test_constants_that_other_versions_save_do_no_harm(
    copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str], architecture: str, buffers: dict[str, tuple[int, ...]]
) -> None:
    edit_weights(copied(architecture), lambda tensors: tensors | {name: torch.ones(shape) for name, shape in buffers.items()})
    check_usable(pin("model", None))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("changes", [{}, {"dtype": "bfloat16"}, {"auto_map": OTHER_CODE}])
def test_models_that_transformers_runs_itself(copied: Callable[[str], Path], changes: dict[str, object]) -> None:
    edit_config(copied("gpt2"), **changes)
    check_usable(pin("model", None))


def test_weights_in_bfloat16_are_read_as_float32(copied: Callable[[str], Path]) -> None:
    edit_weights(copied("gpt2"), lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    bridge = load(pin("model", None), torch.device("cpu"))
    assert {parameter.dtype for parameter in bridge.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", '{"a": 1}', "cannot load the tokenizer (KeyError: 'added_tokens'); check its tokenizer files"),
        ("tokenizer.json", '{"version": "1.0", "model": 3, "added_tokens": []}', "cannot load the tokenizer ("),
    ],
)
def test_a_tokenizer_that_is_broken(copied: Callable[[str], Path], name: str, content: str, message: str) -> None:
    (copied("gpt2") / name).write_text(content)
    assert message in refusal()


@pytest.mark.parametrize("architecture", ARCHITECTURES.values())
def test_every_file_that_is_read_is_pinned(copied: Callable[[str], Path], architecture: str) -> None:
    folder = copied(architecture)
    opened: set[str] = set()

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(f"{folder.resolve()}/"):
            opened.add(Path(str(arguments[0])).name)

    pinned = pin(str(folder.resolve()), None)
    sys.addaudithook(hear)
    check_usable(pinned)
    assert "config.json" in opened and opened <= {file.path for file in pinned.manifest.files}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_a_failure_of_the_system_is_no_fault_of_the_model(error: Exception) -> None:
    with pytest.raises(type(error)), Refusing("model", "name another"):
        raise error


def test_what_a_library_says_of_a_model_is_its_fault() -> None:
    for error in (OSError("no file named model.safetensors"), FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("shapes")):
        with pytest.raises(UserError, match=r"^model \("), Refusing("model", "name another"):
            raise error
