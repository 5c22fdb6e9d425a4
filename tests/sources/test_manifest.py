import json
import os
from pathlib import Path

import pytest

from mfr.sources.manifest import LeftOut, is_web_page, summary, unusable, walk
from tests.support.permissions import closed, reachable_folder

ANNEX = ".git/annex/objects/MD5E-s10--0/MD5E-s10--0"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content of " + os.fsencode(name))


def found(root: Path) -> tuple[list[str], dict[str, str]]:
    files, left_out = walk(root)
    return [path.relative_to(root).as_posix() for path in files], {each.path: each.reason for each in left_out}


def test_files_are_found_in_order_without_hidden_ones(tmp_path: Path) -> None:
    root = tmp_path / ".hidden root"
    write(root, "b.txt", "a/c.txt", "a/b/d.txt", ".e.txt", ".git/config", "a/.ipynb_checkpoints/c.txt")
    assert found(root) == (["a/b/d.txt", "a/c.txt", "b.txt"], {})


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, "store/a.txt", "store/deep/b.txt", "other.txt")
    root.mkdir()
    (root / "folder").symlink_to("../store")
    (root / "file.txt").symlink_to(tmp_path / "other.txt")
    assert found(root) == (["file.txt", "folder/a.txt", "folder/deep/b.txt"], {})
    (tmp_path / "link to root").symlink_to(root)
    assert found(tmp_path / "link to root") == found(root)


def test_annexed_files_are_read_through_their_links(tmp_path: Path) -> None:
    write(tmp_path, ANNEX)
    (tmp_path / "here.edf").symlink_to(ANNEX)
    assert found(tmp_path) == (["here.edf"], {})


def test_circles_of_links_end(tmp_path: Path) -> None:
    write(tmp_path, "a/b/file.txt")
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    (tmp_path / "a" / "itself").symlink_to("itself")
    files, left_out = found(tmp_path)
    assert files == ["a/b/file.txt"]
    assert left_out == {
        "a/itself": "dangling link: itself (Too many levels of symbolic links)",
    }


def test_of_two_paths_to_one_file_the_one_without_a_link_is_used(tmp_path: Path) -> None:
    write(tmp_path, "z/target.txt")
    (tmp_path / "a.txt").symlink_to("z/target.txt")
    (tmp_path / "b").symlink_to("z")
    files, left_out = found(tmp_path)
    assert files == ["z/target.txt"]
    assert left_out == {"a.txt": "repeated: the same as z/target.txt", "b": "repeated: the same as z"}


def test_of_two_links_to_one_file_elsewhere_one_is_used(tmp_path: Path) -> None:
    write(tmp_path, "store/deep/file.txt", "root/c.txt")
    (tmp_path / "root" / "a").symlink_to("../store/deep")
    (tmp_path / "root" / "b").symlink_to("../store")
    assert found(tmp_path / "root") == (["a/file.txt", "c.txt"], {"b/deep": "repeated: the same as a"})


def test_content_that_is_not_here_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "annexed.edf").symlink_to(ANNEX)
    (tmp_path / "chain.edf").symlink_to("annexed.edf")
    (tmp_path / "unlocked.edf").write_text("/annex/objects/MD5E-s10--0\n")
    (tmp_path / "plain link.edf").write_text(f"../../{ANNEX}")
    (tmp_path / "pointer.edf").write_text(LFS)
    (tmp_path / "dangling.edf").symlink_to("nowhere/x.edf")
    write(tmp_path, "long.txt")
    (tmp_path / "long.txt").write_text(LFS + "is how a pointer to a file begins. " * 40)
    files, left_out = found(tmp_path)
    assert files == ["long.txt"]
    annex = "a git-annex pointer, not the file: fetch it (`git annex get` or `datalad get`)"
    assert left_out == {
        "annexed.edf": annex,
        "chain.edf": annex,
        "unlocked.edf": annex,
        "plain link.edf": annex,
        "pointer.edf": "a Git LFS pointer, not the file: fetch it (`git lfs pull`)",
        "dangling.edf": "dangling link: nowhere/x.edf (No such file or directory)",
    }


@pytest.mark.parametrize("start", [b"<!DOCTYPE html>", b"\xef\xbb\xbf\n <HTML lang=en>", b'<?xml version="1.0"?>'])
def test_web_pages_are_known_by_their_start(start: bytes) -> None:
    assert is_web_page(start) and not is_web_page(b"a" + start)


def test_what_is_closed_to_the_user_is_listed() -> None:
    denied = "cannot be read (Permission denied)"
    with reachable_folder() as root:
        write(root, "open.txt", "closed/a.txt", "b.txt", "no way in/c.txt")
        (root / "link").symlink_to("closed/a.txt")
        with closed(root / "closed"):
            assert found(root) == (
                ["b.txt", "no way in/c.txt", "open.txt"],
                {"closed": denied, "link": "dangling link: closed/a.txt (Permission denied)"},
            )
            assert found(root / "closed") == ([], {".": denied})
        with closed(root / "no way in", 0o444):
            assert found(root)[1]["no way in/c.txt"] == denied
        with closed(root / "b.txt"):
            assert found(root)[1]["b.txt"] == denied


def test_pipes_are_listed_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert found(tmp_path) == ([], {"pipe.txt": "neither a file nor a folder"})


def test_names_that_are_not_utf8_are_listed_in_printable_characters(tmp_path: Path) -> None:
    write(tmp_path, "good.txt", "two\nlines.txt", os.fsdecode(b"d\xe9p\xf4t.txt"), os.fsdecode(b"d\xe9p\xf4t/below.txt"))
    (tmp_path / "li\tnk.txt").symlink_to("good.txt")
    files, left_out = walk(tmp_path)
    assert [path.name for path in files] == ["good.txt", "two\nlines.txt"]
    assert {each.path: each.reason for each in left_out} == {
        r"d\udce9p\udcf4t.txt": "name is not UTF-8: rename it",
        r"d\udce9p\udcf4t": "name is not UTF-8: rename it",
        r"li\tnk.txt": "repeated: the same as good.txt",
    }
    assert json.loads(json.dumps([each.model_dump() for each in left_out])) == [each.model_dump() for each in left_out]
    assert all(each.path.isprintable() and each.path.isascii() for each in left_out)


def test_a_file_can_be_asked_about_by_itself(tmp_path: Path) -> None:
    write(tmp_path, "file.txt")
    assert unusable(tmp_path / "file.txt") == unusable(tmp_path) == ""
    assert unusable(tmp_path / "none") == "cannot be read (No such file or directory)"


@pytest.mark.parametrize(("count", "last"), [(1, "f0: why 0"), (5, "f4: why 4"), (7, "… and 2 more")])
def test_a_summary_names_the_first_and_counts_the_others(count: int, last: str) -> None:
    line = summary([LeftOut(path=f"f{i}", reason=f"why {i}") for i in range(count)])
    assert line.split("; ")[0] == "f0: why 0" and line.split("; ")[-1] == last
