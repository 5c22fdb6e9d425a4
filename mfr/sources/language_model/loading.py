"""Load a language model through transformers, and refuse weights that are not all its own."""

import errno
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from mfr.runtime.errors import UserError, first_sentence
from mfr.runtime.os_errors import explained
from mfr.runtime.wording import listed
from mfr.sources.language_model.files import NAMES_SHOWN

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What the libraries raise for files that they cannot use, apart from a bare Exception.
UNUSABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


class Refusing:
    """Convert what the libraries raise, except a failure of the system, into `UserError`.

    Its message is `what`, the error's first sentence, and `remedy`.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A missing file is the model's fault: libraries report it as ENOENT or without a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            return
        if isinstance(error, RuntimeError) and explained(error):
            return
        # tokenizers raises a bare Exception for a broken tokenizer.json.
        if error is not None and (kind is Exception or isinstance(error, UNUSABLE)):
            raise UserError(f"{self.what} ({first_sentence(error)}); {self.remedy}") from None


def load_bridge(place: str, revision: str | None, device: torch.device) -> "TransformerBridge":
    """The model in the folder or of the hub name `place`, in float32.

    Weights are not processed, so activations equal those of the Hugging Face model. Never runs code that comes with a model,
    and never reads pickled weights. Raises `UserError` if the model is not a causal language model that transformer-lens
    knows, if its weights do not fit its configuration, or if they are NaN or infinite.
    """
    # Imported here because it takes seconds, and pinning and training do not need it.
    from transformer_lens.model_bridge import TransformerBridge

    transformers_logging.disable_progress_bar()
    _check_architecture(place, _config(place, revision))
    with Refusing(f"{place}: cannot be loaded", "check its config.json and weights, or name another model"):
        return TransformerBridge.boot_transformers(
            place, revision=revision, device=device, dtype=torch.float32, model_class=_CheckedWeights
        )


def load_tokenizer_of(place: str, revision: str | None) -> Tokenizer:
    """The tokenizer in the folder or of the hub name `place`.

    Loaded by transformers, because transformer-lens changes the special tokens. Raises `UserError` if it is missing or broken.
    """
    _config(place, revision)  # A mistake in it would be reported as one in the tokenizer.
    with Refusing(f"{place}: cannot load the tokenizer", "check its tokenizer files"):
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    # If the files are missing, transformers makes a tokenizer with only special tokens.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"{place}: no tokenizer; save the model's tokenizer there")
    return tokenizer


def check_runs(model: "TransformerBridge", place: str) -> None:
    """Raise `UserError` if the model has no layers, fails, gives NaN or infinity, or sees later tokens."""
    if model.cfg.n_layers < 1:
        raise UserError(f"{place}: config.json gives the model {model.cfg.n_layers} layers; correct it")
    tokens = torch.tensor([[0, 0], [0, 1]], device=model.cfg.device)
    with Refusing(f"{place}: cannot be run", "check its config.json, or name another model"), torch.no_grad():
        logits = model(tokens, return_type="logits").float()
    if not logits.isfinite().all():
        raise UserError(f"{place}: its output is NaN or infinite; check its config.json, or name another model")
    first = logits[:, 0]
    if not torch.allclose(first[0], first[1], rtol=1e-3, atol=1e-3 * first.abs().max().item()):
        raise UserError(f"{place}: not a causal language model (its output depends on later tokens); name another model")


def check_finite(model: PreTrainedModel, what: str, remedy: str) -> None:
    """Raise `UserError` with the name of the first tensor that has NaN or infinite values."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{what}: {name} has NaN or infinite values; {remedy}")


def _config(place: str, revision: str | None) -> PreTrainedConfig:
    with Refusing(f"{place}: config.json cannot be used", "correct it, or name another model"):
        given, _ = PreTrainedConfig.get_config_dict(place, revision=revision)
        if "auto_map" in given and given.get("model_type") not in CONFIG_MAPPING:
            raise UserError(
                f"{place}: brings its own code (auto_map in config.json), and code of models is never run; name a model whose "
                "code is part of transformers"
            )
        config: PreTrainedConfig = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    return config


def _check_architecture(place: str, config: PreTrainedConfig) -> None:
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
        get_hf_model_class_for_architecture,
    )

    name = ", ".join(config.architectures or [config.model_type])
    another = "name a causal (decoder-only) language model, such as a GPT-2, GPT-NeoX or Llama"
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(f"{place}: {name} is not a causal language model; {another}")
    try:
        architecture = determine_architecture_from_hf_config(config)
    except ValueError:
        raise UserError(f"{place}: transformer-lens does not know the architecture {name}; name another model") from None
    if get_hf_model_class_for_architecture(architecture) is not AutoModelForCausalLM:
        raise UserError(f"{place}: {name} is not a causal language model; {another}")


class _CheckedWeights:
    """Takes the place of transformers' model class in transformer-lens, and checks what was loaded."""

    @staticmethod
    def from_pretrained(place: str, **options: Any) -> PreTrainedModel:
        """The model, as `AutoModelForCausalLM` loads it; raises `UserError` if its weights are not all its own."""
        # Tensors of another shape are reported with the others instead of raised without their names.
        checks = {"output_loading_info": True, "ignore_mismatched_sizes": True}
        safe = {"use_safetensors": True, "trust_remote_code": False}
        model, report = AutoModelForCausalLM.from_pretrained(place, **options, **checks, **safe)
        _check_fit(place, model, report)
        check_finite(model, place, "fetch or save the weights again")
        loaded: PreTrainedModel = model
        return loaded


def _check_fit(place: str, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Raise `UserError` if a tensor of the model was not loaded, which transformers then draws at random."""
    unused = [name for name in sorted(report["unexpected_keys"]) if not _is_buffer(name, model)]
    shapes = [f"{name} {tuple(there)} instead of {tuple(here)}" for name, there, here in sorted(report["mismatched_keys"])]
    wrong = {"missing": sorted(report["missing_keys"]), "of another shape": shapes, "unknown to this architecture": unused}
    # A head for another task, such as a classifier, does no harm.
    if not wrong["missing"] and not shapes and all(_is_of_another_head(name, model) for name in unused):
        wrong = {}
    found = [f"{what}: {listed(names, NAMES_SHOWN)}" for what, names in wrong.items() if names]
    if found:
        raise UserError(
            f"{place}: the weights do not fit config.json ({'; '.join(found)}); check that both belong to the same model and "
            "that no file is missing"
        )
    if unused:
        shown = listed(unused, NAMES_SHOWN)
        print(f"{place}: ignores tensors that {type(model).__name__} does not have: {shown}", file=sys.stderr)


def _is_buffer(tensor: str, model: PreTrainedModel) -> bool:
    """Whether a tensor is a constant that the model makes itself, and that other versions of transformers save."""
    base = model.base_model_prefix + "."
    buffers = {name.removeprefix(base) for name, _ in model.named_buffers()}
    return tensor.removeprefix(base) in buffers or tensor.endswith(".masked_bias")


def _is_of_another_head(tensor: str, model: PreTrainedModel) -> bool:
    """Whether a tensor is outside the base model and every module of this model."""
    base = model.base_model_prefix + "."
    own = {name.removeprefix(prefix).partition(".")[0] for name in model.state_dict() for prefix in ("", base)}
    return not tensor.startswith(base) and tensor.partition(".")[0] not in own
