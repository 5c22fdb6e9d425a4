"""Save a training run and resume it exactly.

A checkpoint is a safetensors file whose metadata has the run's key and its `Progress` as JSON.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from mfr.mutual.assignment import Assignment
from mfr.mutual.matches import Match
from mfr.mutual.penalty import Penalty
from mfr.runtime.errors import UserError
from mfr.runtime.files import write_whole
from mfr.training.curves import CurveRow, Progress


def save(path: Path, key: str, tensors: dict[str, torch.Tensor], progress: Progress) -> None:
    """Write a checkpoint of the run `key`, replacing `path` in one step or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = {**vars(progress), "curves": [vars(row) for row in progress.curves]}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_whole(path, to_bytes(contiguous, {"key": key, "progress": json.dumps(rest)}))


def load(path: Path, key: str) -> tuple[dict[str, torch.Tensor], Progress]:
    """Tensors and progress of the run `key`.

    Raises `UserError` if the file is damaged, or is of a run with other parameters, inputs or code.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole checkpoint ({error})") from None
    if metadata.get("key") != key:
        raise UserError(f"{path}: a checkpoint of other parameters, inputs or code")
    rest = json.loads(metadata["progress"])
    return tensors, Progress(**{**rest, "curves": [CurveRow(**row) for row in rest["curves"]]})


def of_penalty(penalty: Penalty) -> dict[str, torch.Tensor]:
    """State of a penalty as named tensors; `restore_penalty` is the inverse."""
    tensors = {"penalty": penalty.value, "alpha": torch.tensor(penalty.alpha, dtype=torch.float64)}
    for pair, match in enumerate(penalty.matches):
        own = {"rows": match.rows, "columns": match.columns, "stale": torch.tensor(match.stale, dtype=torch.float64)}
        if match.assignment is not None:
            own |= vars(match.assignment) | {"gap": torch.tensor(match.gap, dtype=torch.float64)}
            del own["partners"]  # the same as columns
        tensors |= {f"matches.{pair}.{name}": tensor for name, tensor in own.items()}
    return tensors


def restore_penalty(penalty: Penalty, tensors: dict[str, torch.Tensor]) -> None:
    """Restore a penalty's state from a checkpoint's tensors."""
    penalty.value, penalty.alpha = tensors["penalty"], tensors["alpha"].item()
    matches: list[Match] = []
    while own := _below(f"matches.{len(matches)}.", tensors):
        rows, columns, stale = own.pop("rows"), own.pop("columns"), own.pop("stale").item()
        assignment = Assignment(columns, gap=own.pop("gap").item(), **own) if own else None
        matches.append(Match(rows, columns, assignment, stale))
    penalty.set_matches(matches)


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
