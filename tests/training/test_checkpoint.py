"""A checkpoint from which a run cannot resume starts it from step 0, with one line that says why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mfr.runtime.errors import UserError
from mfr.runtime.resume import store
from mfr.training import checkpoint
from mfr.training.curves import Progress
from mfr.training.trainer import Trainer
from mfr.vectors.reader import Vectors
from tests.support.small_training import CPU, METHODS, saving, settings

Change = Callable[[dict[str, torch.Tensor], Progress], object]


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


CHANGES: dict[str, Change] = {
    "tensor W is missing": lambda tensors, _: tensors.pop("W"),
    "tensor W0.exp_avg is missing": lambda tensors, _: tensors.pop("W0.exp_avg"),
    "tensor matches.0.rows is missing": lambda tensors, _: tensors.pop("matches.0.rows"),
    "tensor extra is unknown": lambda tensors, _: tensors.update(extra=torch.ones(2)),
    "tensor b has another shape or type": changed("b", lambda b: b[:, 1:]),
    "tensor W has another shape or type": changed("W", torch.Tensor.double),
    "tensor idle has another shape or type": changed("idle", torch.Tensor.float),
    "tensor b1.step has another shape or type": changed("b1.step", lambda step: step[None]),
    "tensor matches.0.columns has an index out of bounds": changed("matches.0.columns", lambda columns: columns + 10**6),
    "tensor matches.0.starts has an index out of bounds": changed("matches.0.starts", lambda starts: starts * 2),
    "its progress does not fit this training": lambda _, progress: progress.reinits.append(0),
    "not a checkpoint of this version": lambda _, progress: setattr(progress, "first_losses", ["many"]),
}


@pytest.fixture
def vectors(data: Path):
    with Vectors(data) as vectors:
        yield vectors


@pytest.mark.parametrize("message", CHANGES)
def test_a_checkpoint_that_does_not_fit_starts_the_run_from_step_0(
    vectors: Vectors, tmp_path: Path, capfd: pytest.CaptureFixture[str], message: str
) -> None:
    place, chosen = saving(tmp_path), settings(steps=6)
    Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path, every_s=0))
    loaded = checkpoint.load(place.path, place.key)
    assert loaded is not None
    CHANGES[message](*loaded)
    checkpoint.save(place.path, place.key, *loaded)
    restarted = Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(place)
    (line,) = capfd.readouterr().err.splitlines()
    assert line == f"{place.path}: {message}; starting from step 0"
    assert torch.equal(restarted.W, Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path / "other")).W)


@pytest.mark.parametrize("piece", [b"", b"no tensors", save({"W": torch.ones(2)}), save({"record": torch.ones(2)})])
def test_a_sealed_file_of_something_else_is_no_checkpoint(tmp_path: Path, piece: bytes) -> None:
    store(tmp_path / "run", piece)
    with pytest.raises(checkpoint.NotResumableError, match="not a checkpoint of this version"):
        checkpoint.load(tmp_path / "run", "key")


def test_a_changed_bit_is_refused(vectors: Vectors, tmp_path: Path) -> None:
    place = saving(tmp_path, every_s=0)
    Trainer(vectors, settings(steps=2), METHODS["mfr"], 0, CPU).run(place)
    whole = place.path.read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        place.path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(checkpoint.NotResumableError, match="not a whole checkpoint"):
            checkpoint.load(place.path, place.key)


def test_a_checkpoint_that_cannot_be_read_is_not_passed_over(vectors: Vectors, tmp_path: Path) -> None:
    place = saving(tmp_path)
    place.path.mkdir(parents=True)
    with pytest.raises(UserError, match=r"run\.safetensors: cannot be read \(Is a directory\)"):
        Trainer(vectors, settings(steps=2), METHODS["mfr"], 0, CPU).run(place)
