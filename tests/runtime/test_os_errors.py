"""What the system refuses is one line, which names the file, what is wrong and what to do."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.numpy import load_file

from mfr.runtime.command import status_of
from mfr.runtime.os_errors import explained
from tests.conftest import ROOT
from tests.support.failing import failing, mounted


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").write_text("text")
    Path("one").symlink_to("other")
    Path("other").symlink_to("one")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Work as a user whom permissions bind, also if the tests run as root."""
    Path("file").chmod(0o600)
    Path("folder").chmod(0o755)
    if os.getuid():
        Path("file").chmod(0o000)
        Path("folder").chmod(0o500)
        yield
        return
    for parent in Path.cwd().parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    Path.cwd().chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def denied_reading() -> None:
    with unprivileged():
        Path("file").read_text()


def denied_writing() -> None:
    with unprivileged():
        Path("folder/new").write_text("x")


def too_many_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 3, limits[1]))
    try:
        opened = []
        while True:
            opened.append(Path("file").open())  # noqa: SIM115
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def full_device() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")


CASES: list[tuple[Callable[[], object], str]] = [
    (denied_reading, "file: permission denied; change its owner or its permissions"),
    (denied_writing, "folder/new: permission denied; "),
    (lambda: Path("folder").read_text(), "folder: a folder, where a file belongs; move it elsewhere"),
    (lambda: Path("file/below/it").read_text(), "file/below/it: file is a file, where a folder belongs; move it elsewhere"),
    (lambda: Path("file/below").mkdir(parents=True), "file/below: file is a file, where a folder belongs; move it elsewhere"),
    (lambda: Path("file").mkdir(exist_ok=True), "file: a file, where a folder belongs; move it elsewhere"),
    (lambda: os.replace("file", "folder"), "folder: a folder, where a file belongs; move it elsewhere"),
    (too_many_files, "file: too many open files in this process; raise the limit that `ulimit -n` shows"),
    (full_device, "the disk is full; free some space and run again"),
    (lambda: Path("x" * 300).read_text(), f"{'x' * 300}: the name is too long for this disk; shorten it"),
    (lambda: Path("one").read_text(), "one: links that lead in a circle; remove one of them"),
    (lambda: Path("/proc/self/mem").read_bytes(), "reading or writing failed (input/output error); check the disk"),
    (lambda: Path("runs/eeg/mfr/0/saes.json").read_text(), "runs/eeg/mfr/0/saes.json: no such file; run train first"),
    (
        lambda: Path("features/eeg/mfr/0/x.parquet").read_text(),
        "features/eeg/mfr/0/x.parquet: no such file; run describe first",
    ),
    (lambda: Path("data/eeg/train.h5").read_text(), "data/eeg/train.h5: no such file; run the stage that makes it first"),
    (lambda: Path("gone.csv").read_text(), "gone.csv: no such file; check the path"),
    (lambda: load_file("gone.safetensors"), "gone.safetensors"),
    (lambda: pd.DataFrame({"a": [1]}).to_csv("gone/a.csv"), "'gone'"),
    (lambda: parquet.write_table(pa.table({"a": [1]}), "gone/a.parquet"), "gone/a.parquet: no such file; check the path"),
    (lambda: h5py.File("gone.h5"), "gone.h5: no such file; check the path"),
    (lambda: h5py.File("file"), "reading or writing failed (Unable to synchronously open file (file signature not found)); "),
    (lambda: load_file("folder"), "folder"),
    (lambda: np.zeros(1 << 50), "memory ran out; use a machine with more, end other programs, or lower"),
    (lambda: torch.zeros(1 << 50), "memory ran out; "),
]


@pytest.mark.parametrize(("failure", "message"), CASES, ids=[message[:30] for _, message in CASES])
def test_a_refusal_is_one_line_and_status_1(
    failure: Callable[[], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        failure()

    assert status_of(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error


WRITERS = {
    "text": "Path(p).write_text('x' * 1_000_000)",
    "numpy": "np.save(p, np.zeros(100_000))",
    "tofile": "np.zeros(100_000).tofile(p)",
    "safetensors": "save_file({'a': np.zeros(100_000)}, p)",
    "csv": "table.to_csv(p)",
    "parquet": "table.to_parquet(p)",
    "figure": "plt.figure(figsize=(50, 50)).savefig(p)",
    "vectors": "write_vectors(Path(p))",
}
WRITE_ALL = """
import sys
from pathlib import Path
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from safetensors.numpy import save_file
from mfr.runtime.command import status_of
from mfr.vectors.writer import VectorWriter

table = pd.DataFrame({"a": np.random.default_rng(0).random(50_000)})

def write_vectors(path):
    with VectorWriter(path, "eeg", {"vectors": ((64,), "float32")}) as writer:
        writer.append(vectors=np.ones((10_000, 64)))

for name, call in zip(sys.argv[1::2], sys.argv[2::2]):
    p = f"small/{name}.png" if name == "figure" else f"small/{name}"
    print(name, status_of(lambda: eval(call) and None), file=sys.stderr)
    Path(p).unlink(missing_ok=True)
"""


def write_all(size: str) -> list[str]:
    """Lines of a process that writes to a small disk by each library, and says its status after each."""
    words = [word for pair in WRITERS.items() for word in pair]
    command = mounted(f"size={size}", sys.executable, "-c", WRITE_ALL, *words)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run(command, env=environment, capture_output=True, text=True).stderr.splitlines()


def test_a_full_disk_is_one_line_through_every_library() -> None:
    lines = write_all("64k")
    assert lines[1::2] == [f"{name} 1" for name in WRITERS]
    assert all("the disk is full; free some space and run again" in line for line in lines[::2]), lines
    assert write_all("64m") == [f"{name} 0" for name in WRITERS]


def test_a_read_only_disk_is_one_line() -> None:
    code = "from pathlib import Path\nfrom mfr.runtime.command import status_of\nstatus_of(Path('small/x').touch)"
    done = subprocess.run(
        mounted("ro", sys.executable, "-c", code), env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stderr == (
        "error: small/x: on a read-only file system; mount it writable, or link the folder to another disk\n"
    )


@pytest.mark.parametrize(
    ("call", "number", "message"),
    [
        ("open", errno.ESTALE, "file: the network folder was replaced on its server (stale file handle); mount it again"),
        ("open", errno.ENFILE, "file: too many open files on this machine; "),
        ("open", errno.ETIMEDOUT, "file: its disk or network folder does not answer; check that it is mounted"),
        ("open", errno.ENOANO, "file: reading or writing failed (no anode); check what this names, and run again"),
        ("read", errno.EIO, "reading or writing failed (input/output error); check the disk"),
    ],
)
def test_a_failing_disk_is_one_line(tmp_path: Path, call: str, number: int, message: str) -> None:
    code = (
        "from pathlib import Path\nfrom mfr.runtime.command import status_of\n"
        "status_of(lambda: Path('file').read_text() and None)"
    )
    environment = failing(tmp_path, call, number, "file")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and message in done.stderr


def test_output_that_nobody_can_take_is_one_line() -> None:
    code = "from mfr.runtime.command import status_of\nimport sys\nsys.exit(status_of(lambda: print('x')))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1 and done.stderr == "error: the disk is full; free some space and run again\n"


def test_a_wrapped_error_is_explained_and_a_bug_is_not() -> None:
    wrapped = ValueError("a library's words")
    wrapped.__cause__ = PermissionError(errno.EACCES, "Permission denied", "x")
    assert str(explained(wrapped)).startswith("x: permission denied")
    assert explained(RuntimeError("shapes do not match")) is None
    with pytest.raises(RuntimeError, match="a bug"):
        status_of(lambda: (_ for _ in ()).throw(RuntimeError("a bug")))
