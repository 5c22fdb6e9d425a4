"""Read a trained ensemble: weights (safetensors) and the card that describes them (JSON)."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.nn.functional import normalize

from mfr.runtime.errors import UserError
from mfr.runtime.paths import CARD, SAES, expanded
from mfr.runtime.records import check, json_object
from mfr.saes.ensemble import Card, Ensemble
from mfr.vectors.reader import Vectors

EXPORTED, EXPORTED_CARD = "sae_weights.safetensors", "cfg.json"


def content(saes: Ensemble) -> bytes:
    """Content of a file of weights, as `read_saes` reads it."""
    written: bytes = save({"W": saes.W.cpu(), "b": saes.b.cpu(), "offset": saes.offset.cpu()})
    return written


def load(path: str | Path) -> Ensemble:
    """The ensemble in a run's folder, such as `runs/eeg/mfr/0`, or the single SAE in a folder of `exports/`, on the CPU.

    Raises `UserError` if the folder holds neither, or a file is damaged.
    """
    folder = expanded(path)
    weights, card = folder / SAES, folder / CARD
    if weights.is_file() and card.is_file():
        return read_saes(weights, card)
    if (folder / EXPORTED).is_file() and (folder / EXPORTED_CARD).is_file():
        return _read_exported(folder)
    files = f"{SAES} and {CARD}, or {EXPORTED} and {EXPORTED_CARD}"
    raise UserError(f"{folder}: contains no SAEs ({files}); name the folder of a run or of one exported SAE")


def read_card(card: Path) -> Card:
    """The card that stage train wrote; `UserError` if it is missing or damaged."""
    return Card.read(card, "train")


def check_saes(weights: Path, card: Path) -> Card:
    """The card of the weights.

    Raises `UserError` if a file is missing or damaged, or if the weights are not those that the card describes.
    """
    described = read_card(card)
    check(weights, described.saes_sha256, card, "train")
    return described


def read_saes(weights: Path, card: Path) -> Ensemble:
    """The ensemble in `weights`, described by `card`; raises what `check_saes` raises."""
    return read_checked(weights, check_saes(weights, card))


def read_checked(weights: Path, described: Card) -> Ensemble:
    """The ensemble in weights that `check_saes` found to be those of the card `described`.

    Raises `UserError` if a tensor is missing, of another shape or not finite.
    """
    settings, size = described.train, described.size
    n, h = len(settings.k), settings.hidden
    found = _tensors(weights, {"W": (n, h, size), "b": (n, h), "offset": (size,)}, "run train again")
    return Ensemble(found["W"], found["b"], settings.k, settings.activation, found["offset"], described)


def _read_exported(folder: Path) -> Ensemble:
    """One SAE from the folder that stage export made for SAELens, whose TopK sets negative values to zero."""
    config = json_object(folder / EXPORTED_CARD, "export")
    foreign = UserError(f"{folder}: not a tied TopK SAE as stage export writes them; load it with SAELens")
    if config.get("architecture") != "topk" or config.get("apply_b_dec_to_input"):
        raise foreign
    size, hidden, k = (config.get(name) for name in ("d_in", "d_sae", "k"))
    if not (type(size) is type(hidden) is type(k) is int and 0 < k <= hidden):
        raise UserError(
            f"{folder / EXPORTED_CARD}: d_in, d_sae and k must be whole numbers with 0 < k ≤ d_sae; export it again"
        )
    shapes = {"W_enc": (size, hidden), "W_dec": (hidden, size), "b_enc": (hidden,), "b_dec": (size,)}
    found = _tensors(folder / EXPORTED, shapes, "export it again")
    W = found["W_enc"].T.contiguous()
    if not torch.allclose(normalize(W, dim=1), found["W_dec"], atol=1e-5):
        raise foreign
    return Ensemble(W[None], found["b_enc"][None], [k], "topk_relu", found["b_dec"])


def _tensors(path: Path, shapes: dict[str, tuple[int, ...]], remedy: str) -> dict[str, torch.Tensor]:
    """The float32 tensors of a safetensors file; `UserError` unless it has these, of these shapes, all finite."""
    try:
        with safe_open(path, "pt") as file:
            described = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            for name, shape in shapes.items():
                own = described.get(name)
                if own is None or (own.get_dtype(), tuple(own.get_shape())) != ("F32", shape):
                    has = f"{own.get_dtype()} {tuple(own.get_shape())}" if own else "missing"
                    raise UserError(f"{path}: tensor {name} is {has}, not F32 {shape}; {remedy}")
            tensors = {name: file.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        reason = str(error).partition(":")[0]
        raise UserError(f"{path}: damaged ({reason}); {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: tensor {name} has NaN or infinity; {remedy}")
    return tensors


def read_dictionary(weights: Path, sae: int) -> torch.Tensor:
    """W (h, d) of one SAE, without reading the others, from weights that passed `check_saes`."""
    with safe_open(weights, "pt") as file:
        W: torch.Tensor = file.get_slice("W")[sae]
    return W


def check_size(vectors: Vectors, saes: Ensemble, weights: Path) -> None:
    """Raise `UserError` if `saes`, read from `weights`, were trained on vectors of another size or of other making."""
    size = saes.W.shape[2]
    if vectors.size != size:
        raise UserError(f"{vectors.path}: vectors of size {vectors.size}, but {weights} was trained on {size}")
    if saes.card and saes.card.recipe_sha256 not in ("", vectors.recipe()):
        raise UserError(f"{vectors.path}: not made together with the vectors of {weights}; run {vectors.stage} and train again")
