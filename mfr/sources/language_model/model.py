"""Pin, load and run a language model, and capture its activations at a hook point."""

import difflib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from mfr.runtime.errors import UserError
from mfr.runtime.records import Record
from mfr.sources.language_model.hub import commit_of
from mfr.sources.manifest import MANIFEST, PinnedFile, check_unchanged, pinned, read_manifest, sha256

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


class ModelManifest(Record):
    """Which model is studied: a folder and its weights' hash, or a hub name and its commit.

    `reference` is the folder (`.` for the manifest's own) or the hub name.
    """

    reference: str
    revision: str | None = None
    weights_sha256: str | None = None
    files: list[PinnedFile] = Field(default_factory=list)


def pin(model: str, revision: str | None) -> ModelManifest:
    """The manifest of a local folder or of a hub name.

    Raises `UserError` for a folder without configuration, weights or tokenizer, for a folder with a `revision`, and for a
    name that cannot be resolved on the hub.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return ModelManifest(reference=model, revision=commit_of(model, "model", revision))
    if revision is not None:
        raise UserError(f"prepare_model.revision = {revision}: {folder} is a local folder without revisions; set it to null")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a Hugging Face model (no config.json); name a folder that save_pretrained wrote")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(f"{folder}: no tokenizer (none of {', '.join(TOKENIZERS)}); save the model's tokenizer there")
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return ModelManifest(reference=str(folder.resolve()), weights_sha256=weights_sha256(folder), files=pinned(folder, files))


def written(folder: Path) -> list[PinnedFile]:
    """The files of the model that prepare_model wrote to `folder`, with their hashes."""
    return pinned(folder, [path for path in folder.iterdir() if path.name != MANIFEST], with_time=False)


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a folder's weight files, concatenated in order of name.

    Raises `UserError` if the folder has no weights.
    """
    weights = sorted(chain.from_iterable(folder.glob(pattern) for pattern in WEIGHTS))
    if not weights:
        raise UserError(f"{folder}: no weights (none of {', '.join(WEIGHTS)}); save the model's weights there")
    return sha256(weights)


def model_manifest(folder: Path) -> ModelManifest:
    """The manifest that prepare_model wrote to `folder`.

    Raises `UserError` if it is missing, or if a file of the model's folder is missing or changed.
    """
    manifest = read_manifest(ModelManifest, folder, "prepare_model")
    check_unchanged(folder / manifest.reference, manifest.files, "prepare_model")
    return manifest


def load(folder: Path, device: torch.device) -> "TransformerBridge":
    """The model that `folder`'s manifest pins, in float32.

    Weights are not processed, so activations equal those of the Hugging Face model. Raises `UserError` if the model has
    changed since it was pinned or cannot be loaded.
    """
    reference, revision = _reference(folder)
    # Imported here because it takes seconds, and pinning and training do not need it.
    from transformer_lens.model_bridge import TransformerBridge

    transformers_logging.disable_progress_bar()
    try:
        return TransformerBridge.boot_transformers(reference, revision=revision, device=device, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{reference}: transformer-lens cannot load this model ({first_line}); check that its files are whole, "
            "or name another model"
        ) from None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that `folder`'s manifest pins.

    Loaded by transformers, because transformer-lens changes the special tokens. Raises `UserError` if it is missing or broken.
    """
    reference, revision = _reference(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(f"{reference}: cannot load the tokenizer ({first_line}); check its tokenizer files") from None
    # If the files are missing, transformers makes a tokenizer with only special tokens.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"{reference}: no tokenizer; save the model's tokenizer there")
    return tokenizer


def _reference(folder: Path) -> tuple[str, str | None]:
    manifest = model_manifest(folder)
    reference = str(folder) if manifest.reference == "." else manifest.reference
    if manifest.revision is not None:
        # Fails at once without a network or cached copy; a download would retry for half a minute.
        commit_of(reference, "model", manifest.revision)
    return reference, manifest.revision


def capture(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> torch.Tensor:
    """Activations (S, T, d) at `hook` for tokens (S, T); layers after the hook are not run.

    All axes after the position are flattened into d. Raises `UserError` for a hook that the model does not have or that is
    not one vector per position, for sequences longer than the model's context, and for unknown tokens.
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
        raise UserError(f"dump_activations.hook: {hook} {found}; choose a hook of shape (sequence, position, …)")
    return captured[0].flatten(2)


def activation_size(model: "TransformerBridge", hook: str) -> int:
    """Size d of an activation at `hook`; raises what `capture` raises.

    Uses a single token, so that attention patterns (sequence, head, position, position) are not taken for one vector per
    position.
    """
    return capture(model, torch.zeros(1, 1, dtype=torch.int32), hook).shape[2]


def run_with_hook(
    model: "TransformerBridge", tokens: torch.Tensor, hook: str, function: Callable[..., object], **options: object
) -> torch.Tensor:
    """Output of the model on tokens (S, T), without gradients, with a hook.

    Calls `function(activations, hook=…)` at `hook`. `options` go to the model's `run_with_hooks`, such as `return_type`.
    """
    tokens = tokens.to(model.cfg.device, torch.int64)
    with torch.no_grad():
        output: torch.Tensor = model.run_with_hooks(tokens, fwd_hooks=[(hook, function)], **options)
    return output


def check(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> None:
    """Raise `UserError` if the model does not have the hook or cannot read the tokens (S, T)."""
    known = model.hook_dict
    if hook not in known:
        near = difflib.get_close_matches(hook, known, n=4, cutoff=0.3)
        raise UserError(f"dump_activations.hook: the model has no hook {hook!r}; the nearest are {', '.join(near)}")
    try:
        model.check_hooks_to_add(known[hook], hook, lambda *_: None)
    except ValueError as error:
        raise UserError(f"dump_activations.hook: {hook} is disabled ({error}); choose another hook") from None
    if tokens.shape[1] > model.cfg.n_ctx:
        raise UserError(
            f"dump_activations.context = {tokens.shape[1]}: the model reads at most {model.cfg.n_ctx} tokens; lower it"
        )
    if int(tokens.max()) >= model.cfg.d_vocab:
        raise UserError(
            f"tokenizer: token {int(tokens.max())} is outside the model's vocabulary of {model.cfg.d_vocab}; "
            "use the tokenizer that belongs to this model"
        )
