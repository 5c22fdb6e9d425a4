import resource
import subprocess
import sys
from pathlib import Path

from mfr.runtime.files import write_whole


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
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "File too large" in done.stderr
    assert path.read_bytes() == b"whole"
