"""What a text leaves out, and which files are listed."""

import os
from pathlib import Path

import pytest

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model import text as reading
from mfr.sources.language_model.text import TextManifest, text_files
from tests.support.permissions import closed, reachable_folder
from tests.support.texts import both, documents, left_out, pin, report, write_folder


def spoil(folder: Path) -> None:
    """Add one file of each kind that cannot be used."""
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / "mislabelled.txt").write_bytes(b"\x7fELF\0\0")
    (folder / "data.zip").write_bytes(b"PK\x03\x04")
    (folder / "rows.jsonl").write_text("<html>404</html>")
    (folder / "rows.parquet").write_bytes(b"PAR1 and no end")
    (folder / "lfs.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "annexed.txt").symlink_to(".git/annex/objects/MD5E-s10--0/MD5E-s10--0")
    (folder / "empty.txt").touch()
    (folder / "copy.txt").symlink_to("0.txt")
    (folder / os.fsdecode(b"d\xe9p\xf4t.txt")).write_text("document with a name that is not UTF-8")


def test_what_is_left_out_is_recorded_and_said_and_changes_nothing(tmp_path, capsys):
    names = [f"{i}.txt" for i in range(60)]
    text = write_folder(tmp_path, names)
    report(text)
    assert capsys.readouterr().err == ""
    before = [list(documents(text, split)) for split in ("train", "heldout")], pin(text)
    spoil(tmp_path)
    assert [list(documents(text, split)) for split in ("train", "heldout")] == before[0]
    assert pin(text).files == before[1].files and before[1].left_out == []
    assert left_out(text) == {
        "annexed.txt": "a git-annex pointer, not the file: fetch it (`git annex get` or `datalad get`)",
        r"d\udce9p\udcf4t.txt": "name is not UTF-8: rename it",
        "copy.txt": "repeated: the same as 0.txt",
        "data.zip": "an archive: unpack it",
        "empty.txt": "empty",
        "image.png": "an image, a sound or a video",
        "lfs.txt": "a Git LFS pointer, not the file: fetch it (`git lfs pull`)",
        "mislabelled.txt": "binary data, no text",
        "rows.jsonl": "a web page in place of rows: download the file again",
        "rows.parquet": "not a whole parquet file: download or write it again",
    }
    assert list(left_out(text)) == sorted(left_out(text))
    assert TextManifest.model_validate_json(pin(text).model_dump_json()) == pin(text)
    report(text)
    line = capsys.readouterr().err
    assert line.startswith("text.text: 10 of 70 files left out: annexed.txt: a git-annex pointer, not the file: fetch it ")
    assert line.endswith("; empty.txt: empty; … and 5 more\n") and line.count("\n") == 1


def test_a_text_of_which_nothing_is_left_is_an_error(tmp_path):
    text = Text(text=str(tmp_path))
    with pytest.raises(UserError, match=r"contains no file that is not hidden; add text files$"):
        list(documents(text, "train"))
    spoil(tmp_path)
    (tmp_path / "copy.txt").unlink()
    with pytest.raises(
        UserError, match=r"contains no file that can be read as text: annexed.txt: a git-annex pointer, .*; … and 4 more$"
    ):
        text_files(text)


def test_a_file_that_cannot_be_used_is_an_error_if_it_is_named_itself(tmp_path):
    (tmp_path / "0.txt").write_text("document")
    spoil(tmp_path)
    reasons = left_out(Text(text=str(tmp_path)))
    for name in set(reasons) - {r"d\udce9p\udcf4t.txt", "copy.txt"}:
        with pytest.raises(UserError) as raised:
            text_files(Text(text=str(tmp_path / name)))
        assert str(raised.value) == f"text.text: {tmp_path / name}: {reasons[name]}"


def test_what_is_closed_to_the_user_is_left_out_of_a_folder_and_an_error_by_itself():
    denied = r"cannot be read \(Permission denied\)"
    with reachable_folder() as folder:
        text = write_folder(folder, [*(f"{i}.txt" for i in range(20)), "file.txt", "folder/below.txt"])
        with closed(folder / "file.txt"):
            assert left_out(text) == {"file.txt": "cannot be read (Permission denied)"}
            with pytest.raises(UserError, match=f"file.txt: {denied}"):
                pin(Text(text=str(folder / "file.txt")))
        with closed(folder / "folder"):
            assert left_out(text) == {"folder": "cannot be read (Permission denied)"}
            assert both(text) == sorted(f"document {name}.txt" for name in ["file", *range(20)])
            for name in ("folder", "folder/below.txt"):
                with pytest.raises(UserError, match=denied):
                    pin(Text(text=str(folder / name)))


def test_files_that_come_or_go_after_the_listing_change_neither_the_manifest_nor_the_documents(tmp_path):
    names = [f"{i}.txt" for i in range(20)]
    text = write_folder(tmp_path, names)
    found = text_files(text)
    before = reading.pin(text, found), [list(reading.documents(text, found, split)) for split in ("train", "heldout")]
    write_folder(tmp_path, [f"late/{i}.txt" for i in range(20)])
    assert (reading.pin(text, found), [list(reading.documents(text, found, split)) for split in ("train", "heldout")]) == before
    for name in names:
        (tmp_path / name).unlink()
    for read in (lambda: reading.pin(text, found), lambda: list(reading.documents(text, found, "train"))):
        with pytest.raises(UserError, match=r"\d+\.txt: cannot be read \(No such file or directory\)"):
            read()


def test_linked_folders_are_read_under_the_names_of_their_links(tmp_path):
    names = [f"{i}.txt" for i in range(20)]
    write_folder(tmp_path / "store", names)
    text = write_folder(tmp_path / "texts", ["own.txt"])
    (tmp_path / "texts" / "linked").symlink_to(tmp_path / "store")
    assert [file.path for file in pin(text).files] == sorted(["own.txt", *(f"linked/{name}" for name in names)])
    assert both(text) == sorted(f"document {name}" for name in ["own.txt", *names])
