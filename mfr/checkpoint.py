"""Save a training run and go on with it exactly: safetensors, with the rest as JSON in its metadata."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from mfr.errors import UserError


@dataclass
class CurveRow:
    """One SAE at one step of training."""

    step: int
    sae: int
    k: int
    mse: float
    penalty: float
    alpha: float
    inactive: float
    unevenness: float
    reinits: int


@dataclass
class Progress:
    """Where a run stands besides its tensors: steps done, full weight α of the penalty, restarts of each SAE, curves."""

    step: int = 0
    alpha: float = 0.0
    reinits: list[int] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)


def save(path: Path, key: str, tensors: dict[str, torch.Tensor], progress: Progress) -> None:
    """Write a checkpoint of the run `key`; the file at `path` is replaced at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    rest = {**vars(progress), "curves": [vars(row) for row in progress.curves]}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    part.write_bytes(to_bytes(contiguous, {"key": key, "progress": json.dumps(rest)}))
    os.replace(part, path)


def load(path: Path, key: str) -> tuple[dict[str, torch.Tensor], Progress]:
    """Tensors and progress of the run `key`.

    Raises `UserError` for a file that is cut short or belongs to a run with other parameters or inputs.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole checkpoint ({error})") from None
    if metadata.get("key") != key:
        raise UserError(f"{path}: a checkpoint of other parameters or inputs")
    rest = json.loads(metadata["progress"])
    return tensors, Progress(**{**rest, "curves": [CurveRow(**row) for row in rest["curves"]]})
