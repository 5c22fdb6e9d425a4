"""The weights of an ensemble on disk: safetensors, and a card beside it that says what they are."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.vectors.reader import Vectors


def read_saes(weights: Path, card: Path) -> Ensemble:
    """The ensemble that train left in two files; `FileNotFoundError` where one is missing."""
    settings = json.loads(card.read_text())["train"]
    with _opened(weights) as file:
        W, b, offset = (file.get_tensor(name) for name in ("W", "b", "offset"))
    return Ensemble(W, b, settings["k"], settings["activation"], offset)


def read_dictionary(weights: Path, sae: int) -> torch.Tensor:
    """W (h, d) of one SAE alone."""
    with _opened(weights) as file:
        return file.get_slice("W")[sae]


def _opened(weights: Path) -> safe_open:
    weights.stat()  # Raises what names a missing file, as safetensors' own error does not.
    return safe_open(weights, "pt")


def check_size(vectors: Vectors, saes: Ensemble, weights: Path) -> None:
    """Raise `UserError` where `saes`, which were read from `weights`, are for vectors of another size."""
    size = saes.W.shape[2]
    if vectors.size != size:
        raise UserError(f"{vectors.path}: vectors of size {vectors.size}, but {weights} was trained on {size}")
