"""A training that was cut off goes on exactly."""

import signal
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from mfr.config.synthetic import GenerateSynthetic
from mfr.config.training import Method
from mfr.runtime.errors import UserError
from mfr.runtime.interruption import Interrupted
from mfr.saes import nearest
from mfr.training import checkpoint
from mfr.training.trainer import Saving, Trainer
from mfr.vectors.reader import Vectors
from stages import generate_synthetic
from tests.support.small_training import CPU, DYING, METHODS, saving, settings


class CutOffError(Exception):
    pass


class CutOffVectors(Vectors):
    """Vectors whose reader dies after `left` batches."""

    left = 0

    def batches(self, batch: int, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
        yield from islice(super().batches(batch, seed, first), self.left - first)
        raise CutOffError


@pytest.mark.parametrize(("method", "inputs"), [*((method, "raw") for method in METHODS), ("both", "scaled")])
def test_a_run_cut_off_at_any_step_ends_bit_identical(data: Path, tmp_path: Path, method: str, inputs: str) -> None:
    chosen = settings(inputs=inputs, **(DYING if method == "revived" else {}))
    with Vectors(data) as vectors:
        whole = Trainer(vectors, chosen, METHODS[method], 0, CPU)
        expected = whole.run(saving(tmp_path / "whole"))
    for cut in (1, 6, 13, 19):
        place = saving(tmp_path / str(cut), every_s=0)
        with CutOffVectors(data) as dying, pytest.raises(CutOffError):
            dying.left = cut
            Trainer(dying, chosen, METHODS[method], 0, CPU).run(place)
        with Vectors(data) as vectors:
            resumed = Trainer(vectors, chosen, METHODS[method], 0, CPU)
            ended = resumed.run(place)
        assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)
        assert torch.equal(ended.offset, expected.offset) and expected.offset.any() == (inputs == "scaled")
        assert resumed.progress == whole.progress
        assert torch.equal(resumed.idle, whole.idle) and (method != "revived" or (whole.idle >= 2).any())


def test_a_checkpoint_that_is_cut_short_or_foreign_is_refused(data: Path, tmp_path: Path, capfd) -> None:
    place = saving(tmp_path, every_s=0)
    with Vectors(data) as vectors:
        Trainer(vectors, settings(steps=5), Method(), 0, CPU).run(place)
        with pytest.raises(UserError, match="other parameters, inputs or code"):
            checkpoint.load(place.path, "another key")
        place.path.write_bytes(place.path.read_bytes()[:200])
        with pytest.raises(UserError, match="not a whole checkpoint"):
            checkpoint.load(place.path, "key")
        restarted = Trainer(vectors, settings(), Method(), 0, CPU).run(place)
        expected = Trainer(vectors, settings(), Method(), 0, CPU).run(saving(tmp_path / "other"))
    assert "starting from step 0" in capfd.readouterr().err
    assert torch.equal(restarted.W, expected.W)


@pytest.mark.parametrize("inputs", ["raw", "scaled"])
def test_a_run_from_drawn_vectors_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: str) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = GenerateSynthetic(dimension=10, features=24, groups=4, train_rows=None, heldout_rows=5)
    generate_synthetic.run(drawn, tmp_path / "train.h5", tmp_path / "heldout.h5")
    with Vectors(tmp_path / "train.h5") as vectors:
        chosen = settings(inputs=inputs)
        expected = Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path))
        with CutOffVectors(tmp_path / "train.h5") as dying, pytest.raises(CutOffError):
            dying.left = 7
            Trainer(dying, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path / "cut", every_s=0))
        ended = Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path / "cut"))
    assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)


def test_checkpoints_come_every_so_many_steps(data: Path, tmp_path: Path) -> None:
    place = Saving(tmp_path / "run.safetensors", "key", every_s=1e9, every_steps=6)
    with CutOffVectors(data) as dying, pytest.raises(CutOffError):
        dying.left = 16
        Trainer(dying, settings(), Method(), 0, CPU).run(place)
    assert checkpoint.load(place.path, "key")[1].step == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("method", ["baseline", "mfr"])
def test_a_signal_saves_and_the_run_goes_on_exactly(data: Path, tmp_path: Path, number: int, method: str) -> None:
    class Signalled(Vectors):
        """Vectors during whose eleventh batch a signal comes."""

        def batches(self, batch: int, seed: int, first: int = 0) -> Iterator[torch.Tensor]:
            for index, x in enumerate(super().batches(batch, seed, first)):
                if index == 10:
                    signal.pthread_kill(threading.main_thread().ident, number)
                yield x

    with Signalled(data) as vectors:
        stopped = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU)
        with pytest.raises(Interrupted, match=rf"{signal.Signals(number).name}: saved at step \d+ of 400"):
            stopped.run(saving(tmp_path))
    assert 0 < stopped.progress.step < 400
    with Vectors(data) as vectors:
        resumed = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU)
        ended = resumed.run(saving(tmp_path))
        expected = Trainer(vectors, settings(steps=400), METHODS[method], 0, CPU).run(saving(tmp_path / "whole"))
    assert torch.equal(ended.W, expected.W) and torch.equal(ended.b, expected.b)


@pytest.mark.parametrize("matching", range(1, 8))
def test_a_signal_during_a_matching_ends_it_and_the_run_goes_on_exactly(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matching: int
) -> None:
    chosen = settings(measure_every=1, log_every=5, k=[3, 4, 5])
    with Vectors(data) as vectors:
        whole = Trainer(vectors, chosen, METHODS["mfr"], 0, CPU)
        expected = whole.run(saving(tmp_path / "whole"))
        started, check = [], nearest.interruption.check

        def interrupted() -> None:
            started.append(True)
            if len(started) == matching:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            check()
            assert len(started) != matching

        with monkeypatch.context() as patched, pytest.raises(Interrupted):
            patched.setattr(nearest.interruption, "check", interrupted)
            Trainer(vectors, chosen, METHODS["mfr"], 0, CPU).run(saving(tmp_path))
        resumed = Trainer(vectors, chosen, METHODS["mfr"], 0, CPU)
        ended = resumed.run(saving(tmp_path))
    assert torch.equal(ended.W, expected.W) and resumed.progress == whole.progress
