"""Check files that a stage wrote before another stage uses them.

A record is a JSON file that ends in a hash of its own content. Files without room for a hash, such as tables and weights, are
vouched for by the record written beside them.
"""

import hashlib
import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mfr.runtime.errors import UserError

SEAL = "sha256"


class Record(BaseModel):
    """Content of a JSON file; its last field, `sha256`, is a hash of the other fields."""

    model_config = ConfigDict(extra="forbid")

    def text(self, exclude_none: bool = False) -> str:
        """The file's text, as `read` takes it."""
        fields = json.loads(self.model_dump_json(exclude_none=exclude_none))
        return json.dumps({**fields, SEAL: _digest(fields)}, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path, stage: str) -> Self:
        """The record that `stage` wrote to `path`.

        Raises `UserError` if the file is missing or unreadable, is not JSON, was damaged or edited, or is of another kind.
        """
        fields = json_object(path, stage)
        if SEAL not in fields:
            raise UserError(f"{path}: not written by this version (it has no field {SEAL}); run {stage} again")
        try:
            intact = fields.pop(SEAL) == _digest(fields)
        except RecursionError:
            intact = False
        if not intact:
            raise UserError(f"{path}: damaged, or edited since {stage} wrote it ({SEAL} differs); run {stage} again")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            reason = f"{where}: {first['msg']}"
            raise UserError(f"{path}: not a record of {stage} in this version ({reason}); run {stage} again") from None


def _digest(fields: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def json_object(path: Path, stage: str) -> dict[str, object]:
    """Fields of the JSON file that `stage` wrote to `path`; `UserError` if there is no such file or it is not JSON."""
    try:
        fields = json.loads(content(path, stage).decode())
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise UserError(f"{path}: damaged, not valid JSON ({reason}); run {stage} again") from None
    if not isinstance(fields, dict):
        raise UserError(f"{path}: damaged, not a JSON object; run {stage} again")
    return fields


def content(path: Path, stage: str) -> bytes:
    """Content of a file that `stage` writes; `UserError` if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, stage) from None


def unreadable(path: Path, error: OSError, stage: str) -> UserError:
    """Why a file that `stage` writes cannot be read."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file; run {stage} first")
    return UserError(f"{path}: cannot be read ({error.strerror or error}); it must be a file that you may read")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, sha256: str, record: Path, stage: str) -> None:
    """Raise `UserError` unless the file at `path` has the hash that `record` gives for it; `stage` writes both."""
    try:
        found = file_sha256(path)
    except OSError as error:
        raise unreadable(path, error, stage) from None
    if found != sha256:
        raise UserError(f"{path}: not the file that {record} describes: damaged, edited or of another run; run {stage} again")
