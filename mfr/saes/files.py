"""Read a trained ensemble: weights (safetensors) and the card that describes them (JSON)."""

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save
from torch.nn.functional import normalize

from mfr.runtime.errors import UserError
from mfr.runtime.paths import CARD, SAES
from mfr.saes.ensemble import Card, Ensemble
from mfr.vectors.reader import Vectors

EXPORTED, EXPORTED_CARD = "sae_weights.safetensors", "cfg.json"


def content(saes: Ensemble) -> bytes:
    """Content of a file of weights, as `read_saes` reads it."""
    written: bytes = save({"W": saes.W.cpu(), "b": saes.b.cpu(), "offset": saes.offset.cpu()})
    return written


def load(path: str | Path) -> Ensemble:
    """The ensemble in a run's folder, such as `runs/eeg/mfr/0`, or the single SAE in a folder of `exports/`, on the CPU.

    Raises `UserError` if the folder holds neither.
    """
    folder = Path(path).expanduser()
    weights, card = folder / SAES, folder / CARD
    if weights.is_file() and card.is_file():
        return read_saes(weights, card)
    if (folder / EXPORTED).is_file() and (folder / EXPORTED_CARD).is_file():
        return _read_exported(folder)
    files = f"{SAES} and {CARD}, or {EXPORTED} and {EXPORTED_CARD}"
    raise UserError(f"{folder}: contains no SAEs ({files}); name the folder of a run or of one exported SAE")


def read_card(card: Path) -> Card:
    """The card that stage train wrote; `FileNotFoundError` if it is missing, `UserError` if it is not valid."""
    try:
        return Card.model_validate_json(card.read_text())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise UserError(f"{card}: not a card of this version ({where}: {first['msg']}); train this ensemble again") from None


def read_saes(weights: Path, card: Path) -> Ensemble:
    """The ensemble in `weights`, described by `card`; raises what `read_card` raises."""
    described = read_card(card)
    with _opened(weights) as file:
        W, b, offset = (file.get_tensor(name) for name in ("W", "b", "offset"))
    return Ensemble(W, b, described.train.k, described.train.activation, offset, described)


def _read_exported(folder: Path) -> Ensemble:
    """One SAE from the folder that stage export made for SAELens, whose TopK sets negative values to zero."""
    config = json.loads((folder / EXPORTED_CARD).read_text())
    with safe_open(folder / EXPORTED, "pt") as file:
        encoder, decoder, b, offset = (file.get_tensor(name) for name in ("W_enc", "W_dec", "b_enc", "b_dec"))
    W = encoder.T.contiguous()
    tied = config.get("architecture") == "topk" and torch.allclose(normalize(W, dim=1), decoder, atol=1e-5)
    if not tied or config.get("apply_b_dec_to_input"):
        raise UserError(f"{folder}: not a tied TopK SAE as stage export writes them; load it with SAELens")
    return Ensemble(W[None], b[None], [config["k"]], "topk_relu", offset)


def read_dictionary(weights: Path, sae: int) -> torch.Tensor:
    """W (h, d) of one SAE, without reading the others."""
    with _opened(weights) as file:
        W: torch.Tensor = file.get_slice("W")[sae]
    return W


def _opened(weights: Path) -> safe_open:
    weights.stat()  # Raises an error that names a missing file; safetensors' error does not.
    return safe_open(weights, "pt")


def check_size(vectors: Vectors, saes: Ensemble, weights: Path) -> None:
    """Raise `UserError` if `saes`, read from `weights`, were trained on vectors of another size."""
    size = saes.W.shape[2]
    if vectors.size != size:
        raise UserError(f"{vectors.path}: vectors of size {vectors.size}, but {weights} was trained on {size}")
