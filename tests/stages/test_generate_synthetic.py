import os
import re
import signal
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mfr.config.synthetic import GenerateSynthetic
from mfr.runtime import paths
from mfr.runtime.interruption import Interrupted, Interruption
from mfr.vectors.reader import Vectors
from stages import generate_synthetic
from stages.generate_synthetic import main, run
from tests.support.small_project import SMOKE


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    settings = GenerateSynthetic(dimension=8, features=24, groups=4, train_rows=300, heldout_rows=50)
    run(settings, tmp_path / "train.h5", tmp_path / "heldout.h5")
    return tmp_path / "train.h5", tmp_path / "heldout.h5"


def test_both_files_hold_codes_of_the_same_features(files: tuple[Path, Path]) -> None:
    with h5py.File(files[0]) as train, h5py.File(files[1]) as heldout:
        assert np.array_equal(train["features"], heldout["features"])
        assert train["active"].shape == (300, 12) and heldout["coefficients"].shape == (50, 12)
        assert GenerateSynthetic.model_validate_json(train.attrs["parameters"]).train_rows == 300


def test_a_vector_is_the_sum_of_its_features(files: tuple[Path, Path]) -> None:
    with h5py.File(files[0]) as file, Vectors(files[0]) as vectors:
        row = sum(c * file["features"][j] for j, c in zip(file["active"][7], file["coefficients"][7]))
        assert np.allclose(vectors.read(7, 8)[0], row, atol=1e-5)
        assert vectors.size == 8 and vectors.features.shape == (24, 8)


def test_the_number_of_threads_is_that_of_the_parameters_and_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    text, written = SMOKE, []
    try:
        for threads in (2, 1):
            Path("params.yaml").write_text(re.sub(r"(?m)^  threads: \d+$", f"  threads: {threads}", text))
            assert main([]) == 0 and torch.get_num_threads() == min(threads, cores)
            written.append([paths.vectors("synthetic", split).read_bytes() for split in ("train", "heldout")])
    finally:
        torch.set_num_threads(before)
    assert written[0] == written[1]


def test_training_vectors_can_be_drawn_as_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = GenerateSynthetic(dimension=8, features=24, groups=4, train_rows=None, heldout_rows=50)
    run(settings, tmp_path / "train.h5", tmp_path / "heldout.h5")
    assert (tmp_path / "train.h5").stat().st_size < 20_000
    with Vectors(tmp_path / "train.h5") as train, Vectors(tmp_path / "heldout.h5") as heldout:
        first, second = islice(train.batches(40, 0), 2)
        later, other = next(train.batches(40, 0, 1)), next(train.batches(40, 1))
        assert torch.equal(train.features, heldout.features) and heldout.rows == 50
    assert torch.equal(later, second) and not torch.equal(first, second) and not torch.equal(first, other)
    # Each vector is a sum of the file's features: four groups of three.
    codes = torch.linalg.lstsq(train.features.T.double(), first.T.double()).solution
    assert torch.allclose(train.features.T.double() @ codes, first.T.double(), atol=1e-5)


def test_a_signal_while_rows_are_drawn_stops_after_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain, drawn = generate_synthetic.codes, []

    def signalled(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        os.kill(os.getpid(), signal.SIGTERM)
        drawn.append(plain(*arguments))
        return drawn[-1]

    monkeypatch.setattr(generate_synthetic, "codes", signalled)
    settings = GenerateSynthetic(dimension=8, features=24, groups=4, train_rows=300, heldout_rows=50)
    with Interruption(), pytest.raises(Interrupted):
        run(settings, tmp_path / "out" / "train.h5", tmp_path / "out" / "heldout.h5")
    assert len(drawn) == 1 and not (tmp_path / "out").exists()
