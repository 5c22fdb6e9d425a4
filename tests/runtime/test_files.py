import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mfr.runtime.errors import UserError
from mfr.runtime.files import write_whole, writing
from mfr.runtime.interruption import Interrupted, Interruption
from mfr.runtime.os_errors import explained
from tests.conftest import ROOT
from tests.support.failing import failing, mounted


def test_a_file_is_written_and_replaced_with_nothing_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "piece"
    for content in (b"first", b"the second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """A limit on file sizes makes a real write fail, as a full disk does."""
    path = tmp_path / "piece"
    write_whole(path, b"whole")
    program = (
        f"from pathlib import Path\nfrom mfr.runtime.files import write_whole\nwrite_whole(Path({str(path)!r}), bytes(200_000))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "File too large" in done.stderr
    assert path.read_bytes() == b"whole"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_outputs_appear_together_when_all_is_written() -> None:
    first, second = Path("out/a.csv"), Path("out/b.json")
    with writing(first, second) as [first_part, second_part]:
        first_part.write_text("a")
        second_part.write_text("b")
        assert not first.exists() and not second.exists()
    assert first.read_text() == "a" and second.read_text() == "b"
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "b.json"]


def test_a_failure_leaves_earlier_outputs_and_nothing_else() -> None:
    output = Path("out/a.csv")
    with writing(output) as [part]:
        part.write_text("earlier")
    with pytest.raises(UserError), writing(output) as [part]:
        part.write_text("half")
        raise UserError("stop")
    assert output.read_text() == "earlier" and len(list(Path("out").iterdir())) == 1


def test_a_folder_is_replaced_as_a_whole() -> None:
    folder = Path("out/model")
    for name in ("old", "new"):
        with writing(folder) as [part]:
            part.mkdir()
            (part / name).write_text(name)
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_file_that_a_cache_links_to_is_replaced_not_written_into() -> None:
    output, cached = Path("out.csv"), Path("cached.csv")
    output.write_text("earlier")
    os.link(output, cached)
    with writing(output) as [part]:
        part.write_text("later")
    assert output.read_text() == "later" and cached.read_text() == "earlier"


def test_a_second_writer_is_refused_at_once_and_the_first_goes_on() -> None:
    with writing(Path("out/a.csv")) as [part]:
        code = "from pathlib import Path\nfrom mfr.runtime.files import writing\nwith writing(Path('out/a.csv')) as _: pass"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
        assert "out/a.csv: another process is writing it" in second.stderr
        part.write_text("first")
    assert Path("out/a.csv").read_text() == "first"


def test_a_dead_writer_locks_nobody_out() -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom mfr.runtime.files import writing\n"
        "with writing(Path('a.csv')) as [part]:\n part.write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)})
    assert not Path("a.csv").exists()
    with writing(Path("a.csv")) as [part]:
        part.write_text("later")
    assert [path.name for path in Path().glob("*a*.csv")] == ["a.csv"]


WRITE = "from pathlib import Path\nfrom mfr.runtime.files import writing\n"
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_second_writer_of_any_shared_output_is_refused() -> None:
    shared, first, second = Path("out/shared.csv"), Path("out/first.csv"), Path("out/second.csv")
    with writing(first, shared) as [first_part, shared_part]:
        with pytest.raises(UserError, match=r"out/shared\.csv: another process is writing it"), writing(shared, second):
            pass
        first_part.write_text("first")
        shared_part.write_text("first")
    assert sorted(path.name for path in Path("out").iterdir()) == ["first.csv", "shared.csv"]
    assert shared.read_text() == "first" and not list(Path("scratch/locks").iterdir())


def test_many_writers_of_one_output_never_overlap() -> None:
    """Each removes the file of its lock as it ends, while the next ones open it."""
    code = WRITE + (
        "import os\nfrom mfr.runtime.errors import UserError\n"
        "for _ in range(300):\n"
        "    try:\n"
        "        with writing(Path('a.csv')) as [part]:\n"
        "            os.close(os.open('busy', os.O_CREAT | os.O_EXCL))\n"
        "            part.write_text('x')\n"
        "            os.unlink('busy')\n"
        "    except UserError:\n"
        "        pass"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], env=HERE, stderr=subprocess.PIPE) for _ in range(3)]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_once_and_written_to(tmp_path: Path, number: int) -> None:
    code = WRITE + "with writing(Path('out/a'), Path('out/b')) as parts:\n    for part in parts:\n        part.mkdir()"
    environment = failing(tmp_path, "flock", number, "scratch/locks")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "scratch/locks: this file system has no locks; start no second process that writes out/a\n"
    assert sorted(path.name for path in Path("out").iterdir()) == ["a", "b"]


def test_another_failure_of_a_lock_is_an_error(tmp_path: Path) -> None:
    environment = failing(tmp_path, "flock", errno.EIO, "scratch/locks")
    code = WRITE + "with writing(Path('out/a')): pass"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "Input/output error: 'scratch/locks'" in done.stderr and not Path("out").exists() and not Path("scratch").exists()


def test_a_failure_leaves_no_folder_that_it_made() -> None:
    Path("runs").mkdir()
    with pytest.raises(UserError), writing(Path("runs/eeg/mfr/0/a.csv"), Path("other/b.csv")):
        raise UserError("stop")
    assert [str(path) for path in Path().rglob("*")] == ["runs"]


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


def test_a_linked_folder_stays_a_link(disk: Path) -> None:
    (disk / "model").mkdir()
    (disk / "model" / "old").write_text("old")
    Path("data").symlink_to(disk)
    Path("model").symlink_to(disk / "model")
    with writing(Path("data/new/train.h5"), Path("model")) as [vectors, model]:
        assert vectors.parent == disk / "new" and model.parent == disk
        vectors.write_text("vectors")
        model.mkdir()
        (model / "new").write_text("new")
    assert Path("data").readlink() == disk and Path("model").readlink() == disk / "model"
    assert sorted(str(path.relative_to(disk)) for path in disk.rglob("*")) == ["model", "model/new", "new", "new/train.h5"]


def test_a_folder_linked_to_another_disk_is_written_there() -> None:
    code = WRITE + (
        "import os\nos.symlink('small', 'data')\n"
        "with writing(Path('data/a.csv'), Path('data/b')) as [a, b]:\n    a.write_text('a')\n    b.mkdir()\n"
        "print(os.path.islink('data'), sorted(os.listdir('small')), os.stat('small').st_dev != os.stat('.').st_dev)"
    )
    done = subprocess.run(mounted("size=1m", sys.executable, "-c", code), env=HERE, capture_output=True, text=True, check=True)
    assert done.stdout == "True ['a.csv', 'b'] True\n"


def test_a_link_to_a_file_is_replaced_since_it_may_lead_to_a_cache(disk: Path) -> None:
    (disk / "cached").write_text("earlier")
    Path("a.csv").symlink_to(disk / "cached")
    with writing(Path("a.csv")) as [part]:
        part.write_text("later")
    assert (disk / "cached").read_text() == "earlier" and not Path("a.csv").is_symlink()


@pytest.mark.parametrize("output", ["data/eeg/train.h5", "data"])
def test_a_link_that_leads_nowhere_is_refused(disk: Path, output: str) -> None:
    Path("data").symlink_to(disk / "unmounted")
    with (
        pytest.raises(UserError, match=r"^data: a link to .*/unmounted, which leads nowhere; make or mount"),
        writing(Path(output)),
    ):
        pass
    assert Path("data").is_symlink() and not (disk / "unmounted").exists() and not Path("scratch").exists()


def test_an_output_of_the_other_kind_is_refused_before_the_work() -> None:
    Path("a.csv").mkdir()
    Path("model").write_text("mine")
    for output, message in (
        ("a.csv", "a.csv: a folder, where a file belongs; move it elsewhere"),
        ("model", "model: a file, where a folder belongs; move it elsewhere"),
    ):
        with pytest.raises(UserError, match=message), writing(Path(output)):
            raise AssertionError("worked")
    assert Path("model").read_text() == "mine" and Path("a.csv").is_dir()


def test_a_place_where_nothing_can_be_written_is_refused_before_the_work() -> None:
    code = WRITE + (
        "from mfr.runtime.command import status_of\n"
        "def work():\n    with writing(Path('small/a.csv')): print('worked')\n"
        "status_of(work)"
    )
    done = subprocess.run(mounted("ro", sys.executable, "-c", code), env=HERE, capture_output=True, text=True)
    assert done.stdout == "" and done.stderr.startswith("error: small/a.csv: on a read-only file system; ")
    Path("file").write_text("x")
    with pytest.raises(NotADirectoryError), writing(Path("file/below/a.csv")):
        raise AssertionError("worked")


def test_an_error_names_the_output_and_not_its_temporary_file() -> None:
    with pytest.raises(IsADirectoryError) as caught, writing(Path("out/a.csv"), Path("out/model")) as [_, model]:
        model.mkdir()
        (model / "part").mkdir()
        (model / "part").read_text()
    assert caught.value.filename == "out/model"
    with pytest.raises(OSError) as full, writing(Path("out/a.csv")), Path("/dev/full").open("w") as file:
        file.write("x")
    assert explained(full.value) == "while writing out/a.csv: the disk is full; free some space and run again"
    with pytest.raises(UserError, match=r"out/a\.csv: its folder was removed"), writing(Path("out/a.csv")) as [part]:
        part.parent.rmdir()
        part.write_text("x")


def test_a_signal_between_two_moves_waits_for_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.replace

    def signalled(source: Path, target: Path) -> None:
        plain(source, target)
        if target.name == "a.csv":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(os, "replace", signalled)
    with pytest.raises(Interrupted), Interruption(), writing(Path("a.csv"), Path("b.csv")) as parts:
        for part in parts:
            part.write_text("later")
    assert Path("a.csv").read_text() == Path("b.csv").read_text() == "later"
