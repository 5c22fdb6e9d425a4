"""Save a training run and resume it exactly.

A checkpoint is a sealed safetensors file. Its tensor `record` has the run's key and its `Progress`, as JSON in bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from mfr.mutual.matches import Match
from mfr.mutual.penalty import Penalty
from mfr.runtime.errors import UserError
from mfr.runtime.resume import store, stored
from mfr.saes.assignment import Assignment
from mfr.training.curves import Progress

RECORD = "record"
# Shape and type of a tensor; None stands for any length.
Kind = tuple[tuple[int | None, ...], torch.dtype]


class NotResumableError(UserError):
    """A checkpoint from which a run cannot resume, so that it starts from step 0."""


def save(path: Path, key: str, tensors: dict[str, torch.Tensor], progress: Progress) -> None:
    """Write a checkpoint of the run `key`, replacing `path` in one step or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = {**vars(progress), "curves": [vars(row) for row in progress.curves]}
    record = torch.frombuffer(bytearray(json.dumps({"key": key, "progress": rest}).encode()), dtype=torch.uint8)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    store(path, to_bytes({**contiguous, RECORD: record}))


def load(path: Path, key: str) -> tuple[dict[str, torch.Tensor], Progress] | None:
    """Tensors and progress of the run `key`; None if there is no file.

    Raises `NotResumableError` if the file is damaged, or is of a run with other parameters, inputs or code, and `UserError` if
    it cannot be read.
    """
    piece = stored(path)
    if piece is None:
        if not path.exists():
            return None
        raise NotResumableError(f"{path}: not a whole checkpoint")
    try:
        loaded = from_bytes(piece)
        record = json.loads(loaded.pop(RECORD).numpy().tobytes())
        same, rest = record["key"] == key, record["progress"]
        if same:
            # torch aligns its own memory, on which sums may depend.
            tensors = {name: loaded.pop(name).clone() for name in sorted(loaded)}
            return tensors, _progress(rest)
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise NotResumableError(f"{path}: not a checkpoint of this version") from None
    raise NotResumableError(f"{path}: a checkpoint of other parameters, inputs or code")


def _progress(rest: dict[str, object]) -> Progress:
    """`Progress` of its fields; `ValueError` if one is missing, unknown or of another type."""
    if set(rest) != {field.name for field in fields(Progress)}:
        raise ValueError("other fields")
    return TypeAdapter(Progress).validate_python(rest)


def check(path: Path, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, Kind]) -> None:
    """Raise `NotResumableError` unless there are exactly the tensors in `kinds`, each of its shape and type."""
    for name in tensors.keys() ^ kinds.keys():
        raise NotResumableError(f"{path}: tensor {name} is {'unknown' if name in tensors else 'missing'}")
    for name, (shape, dtype) in kinds.items():
        own = tensors[name]
        fits = own.ndim == len(shape) and all(wanted in (None, length) for wanted, length in zip(shape, own.shape, strict=True))
        if not fits or own.dtype != dtype:
            raise NotResumableError(f"{path}: tensor {name} has another shape or type")


def kinds_of_penalty(penalty: Penalty, tensors: Mapping[str, torch.Tensor]) -> dict[str, Kind]:
    """Kinds of the tensors that `of_penalty` gives, with matches if `tensors` has some."""
    saes, h = penalty.saes.b.shape
    kinds: dict[str, Kind] = {"penalty": ((), torch.float32), "alpha": ((), torch.float64)}
    assigned = penalty.settings.matching == "hungarian"
    for pair in range(saes * (saes - 1) // 2 if any(name.startswith("matches.") for name in tensors) else 0):
        rows = tensors.get(f"matches.{pair}.rows", torch.empty(0))
        matched: Kind = ((h if assigned else rows.numel(),), torch.int64)
        own: dict[str, Kind] = {"rows": matched, "columns": matched, "stale": ((), torch.float64)}
        if assigned:
            own |= {"price": ((h,), torch.float64), "starts": ((h + 1,), torch.int64), "candidates": ((None,), torch.int64)}
            own["gap"] = ((), torch.float64)
        kinds |= {f"matches.{pair}.{name}": kind for name, kind in own.items()}
    return kinds


def check_matches(path: Path, tensors: Mapping[str, torch.Tensor], h: int) -> None:
    """Raise `NotResumableError` if an index in the matches, which compiled loops do not check, is out of bounds."""
    for name, own in tensors.items():
        kind = name.rpartition(".")[2] if name.startswith("matches.") else ""
        if kind in ("rows", "columns", "candidates"):
            sound = bool(((own >= 0) & (own < h)).all())
        elif kind == "starts":
            candidates = len(tensors[name.replace("starts", "candidates")])
            sound = bool(own[0] == 0 and own[-1] == candidates and (own.diff() > 0).all())
        else:
            continue
        if not sound:
            raise NotResumableError(f"{path}: tensor {name} has an index out of bounds")


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
