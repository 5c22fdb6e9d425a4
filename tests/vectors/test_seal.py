import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.vectors import seal
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter

ROWS = np.random.default_rng(0).standard_normal((40, 3), dtype=np.float32)


def write_codes(path: Path, active: np.ndarray) -> None:
    columns = {"active": (active.shape[1:], str(active.dtype)), "coefficients": (active.shape[1:], "float32")}
    with VectorWriter(path, "synthetic", columns) as writer:
        writer.attach("features", np.eye(6, dtype=np.float32))
        writer.append(active=active, coefficients=np.ones(active.shape))


def test_a_changed_bit_anywhere_is_refused(dense_file) -> None:
    path = dense_file(ROWS)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"vectors\.h5: (damaged|not a file of vectors|cut short)"):
            Vectors(path)
    path.write_bytes(whole)
    with Vectors(path) as vectors:
        assert np.array_equal(vectors.read(0, 40), ROWS)


def former_format(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["vectors"] = ROWS
        file.attrs["complete"] = True


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "empty; run the stage that makes it again"),
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "cut short, with 188 of "),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "cut short, with 0 of "),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "damaged, or changed since its stage wrote it"),
        (lambda path: path.write_bytes(bytes(512) + path.read_bytes()[512:]), "incomplete, its stage did not finish it"),
        (lambda path: path.write_text("some text"), "not a file of vectors"),
        (former_format, "HDF5, but not as this version of the project writes it"),
        (folder, r"cannot be read \(Is a directory\)"),
        (Path.unlink, "no such file; run the stage that makes it first"),
    ],
)
def test_each_fault_has_its_line(dense_file, damage: Callable[[Path], object], message: str) -> None:
    path = dense_file(ROWS)
    damage(path)
    with pytest.raises(UserError, match=rf"vectors\.h5: {message}") as caught:
        Vectors(path)
    assert "delete" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_not_called_damaged(dense_file) -> None:
    path = dense_file(ROWS)
    path.chmod(0)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
        Vectors(path)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_may_be_open_elsewhere_for_reading_but_not_for_writing(dense_file, mode: str) -> None:
    path = dense_file(ROWS)
    program = f"import h5py, sys\nfile = h5py.File({str(path)!r}, {mode!r})\nprint(flush=True)\nsys.stdin.read()"
    notebook = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert notebook.stdout.readline() == b"\n"
    if mode == "r":
        with Vectors(path) as vectors:
            assert np.array_equal(vectors.read(0, 40), ROWS)
    else:
        with pytest.raises(UserError, match="open for writing elsewhere"):
            Vectors(path)
    notebook.communicate()
    with h5py.File(path), Vectors(path) as vectors:
        assert vectors.rows == 40


def test_equal_vectors_are_equal_files_with_the_seal_in_front(dense_file) -> None:
    first, second = (dense_file(ROWS, name).read_bytes() for name in ("a.h5", "b.h5"))
    assert first == second and first.startswith(seal.MARK) and first[512:520] == seal.HDF5


def test_vectors_in_the_place_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("eeg", "synthetic"):
        for split in ("train", "heldout"):
            path = paths.vectors(source, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            with VectorWriter(path, source, {"vectors": ((3,), "float32")}) as writer:
                writer.append(vectors=ROWS)
                writer.describe("split", split)
    heldout = paths.vectors("eeg", "heldout")
    for taken, message in (
        (paths.vectors("eeg", "train"), "contains the train vectors of eeg; run preprocess_eeg again"),
        (paths.vectors("synthetic", "heldout"), "contains the heldout vectors of synthetic; run preprocess_eeg again"),
    ):
        shutil.copy(taken, heldout)
        with pytest.raises(UserError, match=f"data/eeg/heldout.h5: {message}"):
            Vectors(heldout)
    shutil.copy(heldout, "mine.h5")
    with Vectors("mine.h5") as vectors:
        assert vectors.fact("split") == "heldout"


def test_an_index_beyond_the_features_is_refused(tmp_path: Path) -> None:
    write_codes(tmp_path / "codes.h5", np.full((9, 2), 5, np.uint16))
    with Vectors(tmp_path / "codes.h5") as vectors:
        assert vectors.read(0, 9).tolist() == [[0, 0, 0, 0, 0, 2]] * 9
    write_codes(tmp_path / "codes.h5", np.full((9, 2), 6, np.uint16))
    with Vectors(tmp_path / "codes.h5") as vectors, pytest.raises(UserError, match="active: an index is not below 6"):
        vectors.read(0, 9)
    write_codes(tmp_path / "codes.h5", np.full((9, 2), -1, np.int16))
    with pytest.raises(UserError, match="features, active and coefficients do not fit"):
        Vectors(tmp_path / "codes.h5")


def test_what_a_file_lacks_is_named(tmp_path: Path, dense_file) -> None:
    with Vectors(dense_file(ROWS)) as vectors:
        with pytest.raises(UserError, match="rate_hz: no such attribute"):
            vectors.fact("rate_hz")
        with pytest.raises(UserError, match="start_s: no such dataset"):
            vectors.column("start_s", slice(2))
    with VectorWriter(tmp_path / "other.h5", "eeg", {"rows": ((3,), "float32")}) as writer:
        writer.append(rows=ROWS)
    with pytest.raises(UserError, match="vectors: no such dataset"):
        Vectors(tmp_path / "other.h5")
