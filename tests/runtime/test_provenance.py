import subprocess
from pathlib import Path

import pytest

from mfr.runtime.provenance import commit, provenance


def git(*words: str) -> None:
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *author, *words], check=True, capture_output=True)


def test_a_commit_is_dirty_if_what_makes_results_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commit() is None
    Path("params.yaml").write_text("seeds: [0]\n")
    Path("results.csv").write_text("1\n")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "state")
    head = commit()
    assert head is not None and len(head) == 12
    Path("results.csv").write_text("2\n")
    assert commit() == head
    Path("params.yaml").write_text("seeds: [1]\n")
    assert commit() == f"{head}-dirty"


def test_it_names_the_packages_and_the_moment() -> None:
    found = provenance()
    assert found.packages["torch"] and found.date.endswith("+00:00") and found.python.startswith("3.")
