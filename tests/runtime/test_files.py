import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mfr.runtime.errors import UserError
from mfr.runtime.files import write_whole, writing
from tests.conftest import ROOT


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
