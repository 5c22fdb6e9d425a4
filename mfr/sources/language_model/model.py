"""Pin, load and run a language model, and capture its activations at a hook point."""

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from mfr.runtime import paths
from mfr.runtime.errors import UserError, first_sentence
from mfr.runtime.records import Record
from mfr.sources.language_model.files import check_files, files_read, weight_files
from mfr.sources.language_model.hub import commit_of
from mfr.sources.language_model.loading import check_runs, load_bridge, load_tokenizer_of
from mfr.sources.manifest import HashedFile, check_same, hashed, read_manifest, sha256

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

TRAINED_HERE = "."
TOKENS_AT_ONCE = 4096
TOKENS_A_PASS = 1024


class ModelManifest(Record):
    """Which model is studied: a hub name and its commit, or the content of a folder's files.

    `reference` is the hub name, `.` for the manifest's own folder, or None for a folder elsewhere. Only the parameter
    `prepare_model.model` knows that folder's path, so that a copy of a model is the same model.
    """

    reference: str | None
    revision: str | None = None
    weights_sha256: str | None = None
    files: list[HashedFile] = Field(default_factory=list)


@dataclass(frozen=True)
class PreparedModel:
    """A model that prepare_model pinned, and its place: a folder or a hub name."""

    manifest: ModelManifest
    place: str


def pin(model: str, revision: str | None) -> PreparedModel:
    """The model in a local folder or of a hub name.

    Raises `UserError` for a folder without configuration, weights or tokenizer, with a file that is not what its name says, or
    with a `revision`, and for a name that cannot be resolved on the hub.
    """
    folder = paths.expanded(model)
    if not folder.is_dir():
        return PreparedModel(ModelManifest(reference=model, revision=commit_of(model, "model", revision)), model)
    if revision is not None:
        raise UserError(f"prepare_model.revision = {revision}: {folder} is a local folder without revisions; set it to null")
    check_files(folder)
    return PreparedModel(_manifest(None, folder), str(folder))


def trained_here(folder: Path) -> ModelManifest:
    """The manifest of the model that prepare_model trained and saved in `folder`."""
    return _manifest(TRAINED_HERE, folder)


def _manifest(reference: str | None, folder: Path) -> ModelManifest:
    files, weights = hashed(folder, files_read(folder)), weight_files(folder)
    # Weights in a single file have its hash, and are not read again.
    of_one = [file.sha256 for file in files if [folder / file.path] == weights]
    return ModelManifest(reference=reference, weights_sha256=of_one[0] if of_one else weights_sha256(folder), files=files)


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a folder's weight files, concatenated in order of name."""
    return sha256(weight_files(folder))


def prepared(folder: Path, model: str | None = None) -> PreparedModel:
    """The model whose manifest prepare_model wrote to `folder`; `model` is the parameter `prepare_model.model`.

    Raises `UserError` if there is no manifest, or if a file of the model is missing or changed.
    """
    manifest = read_manifest(ModelManifest, folder, "prepare_model")
    if manifest.reference is not None and manifest.reference != TRAINED_HERE:
        # Fails at once without a network or cached copy; a download would retry for half a minute.
        commit_of(manifest.reference, "model", manifest.revision)
        return PreparedModel(manifest, manifest.reference)
    named = paths.expanded(model) if model else None
    place = folder if manifest.reference == TRAINED_HERE else named
    if place is None or not place.is_dir():
        raise UserError(f"prepare_model.model: {model} is not the folder that prepare_model listed; run prepare_model again")
    check_same(place, manifest.files, files_read(place), "prepare_model")
    return PreparedModel(manifest, str(place))


def load(model: PreparedModel, device: torch.device) -> "TransformerBridge":
    """The model in float32; raises what `load_bridge` raises."""
    return load_bridge(model.place, model.manifest.revision, device)


def load_tokenizer(model: PreparedModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer; raises `UserError` if it is missing or broken."""
    return load_tokenizer_of(model.place, model.manifest.revision)


def check_usable(model: PreparedModel) -> None:
    """Load the model and its tokenizer and run it on two tokens; raises `UserError` if that fails."""
    load_tokenizer(model)
    check_runs(load(model, torch.device("cpu")), model.place)


def capture(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> torch.Tensor:
    """Activations (S, T, d) at `hook` for tokens (S, T); layers after the hook are not run.

    All axes after the position are flattened into d. Raises `UserError` for a hook that the model does not have or that is
    not one vector per position, for sequences longer than the model's context, and for unknown tokens.
    """
    return torch.cat(capture_in_parts(model, tokens, hook))


def capture_in_parts(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> list[torch.Tensor]:
    """What `capture` returns, in parts of some sequences each."""
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    check(model, tokens, hook)
    captured: list[torch.Tensor] = []

    def keep(activations: torch.Tensor, hook: object) -> None:
        captured.append(activations)
        raise StopAtLayerException(activations)

    tokens = tokens.to(model.cfg.device, torch.int64)
    # On a CPU, passes whose activations stay in the cache are faster, and give the same numbers.
    parts = torch.split(tokens, len(tokens) if tokens.is_cuda else max(1, TOKENS_A_PASS // tokens.shape[1]))
    with torch.no_grad(), model.hooks(fwd_hooks=[(hook, keep)]):
        for part in parts:
            model(part, return_type=None)
    if not captured or captured[0].dim() < 3 or captured[0].shape[:2] != parts[0].shape:
        found = f"has shape {tuple(captured[0].shape)}" if captured else "is never reached"
        raise UserError(f"dump_activations.hook: {hook} {found}; choose a hook of shape (sequence, position, …)")
    return [activations.flatten(2) for activations in captured]


def activation_size(model: "TransformerBridge", hook: str) -> int:
    """Size d of an activation at `hook`; raises what `capture` raises.

    Uses a single token, so that attention patterns (sequence, head, position, position) are not taken for one vector per
    position.
    """
    return capture(model, torch.zeros(1, 1, dtype=torch.int32), hook).shape[2]


def run_with_hook(
    model: "TransformerBridge", tokens: torch.Tensor, hook: str, function: Callable[..., object], until: str | None = None
) -> torch.Tensor:
    """Logits (S, T, V) of the model on tokens (S, T), without gradients, with a hook.

    Calls `function(activations, hook=…)` at `hook`, whose activations it replaces unless that returns None. With the hook
    `until`, the model stops there, and the result is the activations there.
    """
    from transformer_lens.model_bridge.exceptions import StopAtLayerException

    def stop(activations: torch.Tensor, hook: object) -> None:
        raise StopAtLayerException(activations)

    hooks = [(hook, function)] if until is None else [(hook, function), (until, stop)]
    tokens = tokens.to(model.cfg.device, torch.int64)
    with torch.no_grad():
        output: torch.Tensor = model.run_with_hooks(tokens, fwd_hooks=hooks, return_type=None if until else "logits")
    return output


@torch.no_grad()
def unembed(model: "TransformerBridge", rows: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Write the product of rows (R, d) with the unembedding's first V tokens, its bias added, to `out` (R, V); return `out`.

    Made in blocks of tokens: on a CPU the numbers are those of one product, which is slow for a large vocabulary.
    """
    weight, bias = model.unembed.W_U, model.unembed.b_U
    for first in range(0, out.shape[1], TOKENS_AT_ONCE):
        block = slice(first, min(first + TOKENS_AT_ONCE, out.shape[1]))
        torch.addmm(bias[block], rows, weight[:, block], out=out[:, block])
    return out


def check(model: "TransformerBridge", tokens: torch.Tensor, hook: str) -> None:
    """Raise `UserError` if the model does not have the hook or cannot read the tokens (S, T)."""
    known = model.hook_dict
    if hook not in known:
        near = difflib.get_close_matches(hook, known, n=4, cutoff=0.3)
        others = f"the nearest are {', '.join(near)}" if near else f"it has, for example, {', '.join(_examples(known))}"
        raise UserError(f"dump_activations.hook: the model has no hook {hook!r}; {others}")
    try:
        model.check_hooks_to_add(known[hook], hook, lambda *_: None)
    except ValueError as error:
        raise UserError(f"dump_activations.hook: {hook} is disabled ({first_sentence(error)}); choose another hook") from None
    if tokens.shape[1] > model.cfg.n_ctx:
        raise UserError(
            f"dump_activations.context = {tokens.shape[1]}: the model reads at most {model.cfg.n_ctx} tokens; lower it"
        )
    if int(tokens.max()) >= model.cfg.d_vocab:
        raise UserError(
            f"tokenizer: token {int(tokens.max())} is outside the model's vocabulary of {model.cfg.d_vocab}; "
            "use the tokenizer that belongs to this model"
        )


def _examples(hooks: Collection[str]) -> list[str]:
    """Hooks of the first block that are often studied; any if it has none of them."""
    usual = [hook for name in ("hook_resid_post", "hook_mlp_out", "hook_attn_out") if (hook := f"blocks.0.{name}") in hooks]
    return usual or sorted(hooks)[:3]
