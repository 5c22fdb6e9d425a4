"""A language model: pinned, loaded, read at a hook point, and run with that hook's activations replaced."""

import difflib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from mfr.runtime.errors import UserError
from mfr.sources.language_model.hub import commit_of
from mfr.sources.manifest import PinnedFile, check_unchanged, pinned, read_manifest, sha256

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


class ModelManifest(BaseModel):
    """Which model is studied: a folder (`.`: the manifest's own) by its weights' hash, or a name of the hub by its commit."""

    reference: str
    revision: str | None = None
    weights_sha256: str | None = None
    files: list[PinnedFile] = []


def pin(model: str, revision: str | None) -> ModelManifest:
    """The manifest of a local folder, or of a name of the hub.

    Raises `UserError` for a folder without configuration, weights or tokenizer or with a `revision`, and for a name that the
    hub does not know or that it cannot be asked about.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return ModelManifest(reference=model, revision=commit_of(model, "model", revision))
    if revision is not None:
        raise UserError(f"prepare_model.revision = {revision}, but {folder} is a folder, which has none: set it to null")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no Hugging Face model: it has no config.json (save one there with save_pretrained)")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(f"{folder} has no tokenizer (none of {', '.join(TOKENIZERS)}): save the model's tokenizer there")
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return ModelManifest(reference=str(folder.resolve()), weights_sha256=weights_sha256(folder), files=pinned(folder, files))


def weights_sha256(folder: Path) -> str:
    """The hash of the weights in a folder, its files taken in the order of their names.

    Raises `UserError` for a folder without weights.
    """
    weights = sorted(chain.from_iterable(folder.glob(pattern) for pattern in WEIGHTS))
    if not weights:
        raise UserError(f"{folder} has no weights (none of {', '.join(WEIGHTS)}): save the model's weights there")
    return sha256(weights)


def model_manifest(folder: Path) -> ModelManifest:
    """The manifest that prepare_model wrote to `folder`.

    Raises `UserError` where there is none, and where the files of a pinned folder are not what they were.
    """
    manifest = read_manifest(ModelManifest, folder, "prepare_model")
    check_unchanged(Path(manifest.reference), manifest.files, "prepare_model")
    return manifest


def load(folder: Path, device: torch.device) -> "TransformerBridge":
    """The model that `folder`'s manifest pins, in float32, with raw weights: activations are those of Hugging Face's model.

    Raises `UserError` where the model is no longer what was pinned or cannot be loaded.
    """
    reference, revision = _reference(folder)
    # Imported here because it takes seconds, which pinning and training can do without.
    from transformer_lens.model_bridge import TransformerBridge

    transformers_logging.disable_progress_bar()
    try:
        return TransformerBridge.boot_transformers(reference, revision=revision, device=device, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(f"{reference}: transformer-lens cannot load this model ({first_line}): name another one") from None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `folder`'s manifest pins, as it is; transformer-lens gives its own special tokens.

    Raises `UserError` where there is none.
    """
    reference, revision = _reference(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(f"{reference}: its tokenizer cannot be loaded ({first_line}): save the tokenizer there") from None
    # Without its files transformers makes a tokenizer of special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"{reference} has no tokenizer: save the model's tokenizer there")
    return tokenizer


def _reference(folder: Path) -> tuple[str, str | None]:
    manifest = model_manifest(folder)
    reference = str(folder) if manifest.reference == "." else manifest.reference
    if manifest.revision is not None:
        # Fails at once where there is neither a network nor a cached copy; a download would try again for half a minute.
        commit_of(reference, "model", manifest.revision)
    return reference, manifest.revision


def capture(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> torch.Tensor:
    """Activations (S, T, d) at `hook` for tokens (S, T), all axes after the position flattened; what comes later is not run.

    Raises `UserError` for a hook that the model does not have or that is not one vector a position, and for sequences
    that are longer than the model's context or hold tokens that it does not know.
    """
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    check(model, tokens, hook)
    captured: list[torch.Tensor] = []

    def keep(activations: torch.Tensor, hook: object) -> None:
        captured.append(activations)
        raise StopAtLayerException(activations)

    run_with_hook(model, tokens, hook, keep, return_type=None)
    if not captured or captured[0].dim() < 3 or captured[0].shape[:2] != tokens.shape:
        found = f"has shape {tuple(captured[0].shape)}" if captured else "is never reached"
        raise UserError(f"dump_activations.hook: {hook} {found}: choose a hook of shape (sequence, position, …)")
    return captured[0].flatten(2)


def activation_size(model: "TransformerBridge", hook: str) -> int:
    """The size d of an activation at `hook`; raises what `capture` raises.

    With a single token, attention patterns (sequence, head, position, position) do not look like vectors of positions.
    """
    return capture(model, torch.zeros(1, 1, dtype=torch.int32), hook).shape[2]


def run_with_hook(
    model: "TransformerBridge", tokens: torch.Tensor, hook: str, function: Callable, **options: object
) -> torch.Tensor:
    """The model on tokens (S, T) without gradients, `function(activations, hook=…)` being called at `hook`."""
    tokens = tokens.to(model.cfg.device, torch.int64)
    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=[(hook, function)], **options)


def check(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> None:
    """Raise `UserError` for a hook that the model does not have, and for tokens (S, T) that it cannot read."""
    known = model.hook_dict
    if hook not in known:
        near = difflib.get_close_matches(hook, known, n=4, cutoff=0.3)
        raise UserError(f"dump_activations.hook: the model has no hook {hook!r}; the nearest are {', '.join(near)}")
    try:
        model.check_hooks_to_add(known[hook], hook, lambda *_: None)
    except ValueError as error:
        raise UserError(f"dump_activations.hook: {hook} is off ({error}): choose another") from None
    if tokens.shape[1] > model.cfg.n_ctx:
        raise UserError(f"dump_activations.context = {tokens.shape[1]} is more than the {model.cfg.n_ctx} that the model reads")
    if int(tokens.max()) >= model.cfg.d_vocab:
        raise UserError(
            f"token {int(tokens.max())} lies outside the model's vocabulary of {model.cfg.d_vocab}: "
            "the tokenizer beside the weights belongs to another model"
        )
