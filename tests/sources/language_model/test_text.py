import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model import text as reading
from mfr.sources.language_model.text import TextManifest, docstrings, is_heldout, text_files
from mfr.sources.manifest import HashedFile, LeftOut
from tests.support.hub import NAME, Hub
from tests.support.permissions import closed, reachable_folder
from tests.support.texts import documents, pin, report

MODULE = '''
"""Module."""
import os

TEXT = """no docstring"""


class Outer:
    """Outer class.

    More:
        indented.
    """

    def method(self):
        """Method."""

        async def inner():
            "Inner, in plain quotes."

    class Nested:
        r"""Nested \\alpha."""


if os.name:
    try:
        def conditional(x="""default"""):
            """Conditional."""
    except OSError:
        def fallback():
            """Fallback."""


def undocumented():
    return """no docstring either"""
'''


def test_docstrings_are_those_of_modules_classes_and_functions_in_order():
    expected = [
        "Module.",
        "Outer class.\n\nMore:\n    indented.",
        "Method.",
        "Inner, in plain quotes.",
        r"Nested \alpha.",
        "Conditional.",
        "Fallback.",
    ]
    assert docstrings(MODULE) == "\n\n".join(expected)


def test_what_is_no_python_has_no_docstrings():
    assert docstrings("class {{ name }}:\n    '''Template.'''") == ""


def test_a_package_is_read_without_importing_it_and_without_its_tests(tmp_path, monkeypatch):
    package = tmp_path / "never_imported"
    (package / "tests").mkdir(parents=True)
    (package / "__init__.py").write_text('"""' + "Long text. " * 30 + "End." + '"""\nraise RuntimeError("imported")')
    (package / "tiny.py").write_text('"""Too short to be a document."""')
    (package / "tests" / "test_it.py").write_text('"""' + "Test. " * 50 + '"""')
    monkeypatch.syspath_prepend(tmp_path)
    text = Text(packages=["never_imported"])
    split = "heldout" if is_heldout("never_imported/__init__.py", text.heldout_share) else "train"
    assert list(documents(text, split)) == ["Long text. " * 30 + "End."]
    assert [file.path for file in pin(text).files] == ["never_imported/__init__.py", "never_imported/tiny.py"]


def write_folder(folder: Path, names: list[str]) -> Text:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"document {name}")
    return Text(text=str(folder), heldout_share=0.3)


def test_every_document_is_in_one_split_and_the_share_is_kept(tmp_path):
    names = [f"sub{i % 3}/{i}.txt" for i in range(400)]
    text = write_folder(tmp_path, names)
    train, heldout = list(documents(text, "train")), list(documents(text, "heldout"))
    assert Counter(train + heldout) == Counter(f"document {name}" for name in names)
    # 120 are expected; five standard deviations are 46.
    assert 74 < len(heldout) < 166


def test_a_documents_split_does_not_depend_on_the_others(tmp_path):
    names = [f"{i}.txt" for i in range(60)]
    few = set(documents(write_folder(tmp_path / "few", names[::2]), "heldout"))
    many = set(documents(write_folder(tmp_path / "many", names), "heldout"))
    assert few
    assert few == many & {f"document {name}" for name in names[::2]}


def test_hidden_files_and_folders_are_no_documents(tmp_path):
    folder = tmp_path / ".hidden" / "texts"
    text = write_folder(folder, ["a.txt", "b/c.txt", ".d.txt", ".ipynb_checkpoints/a-copy.txt", "b/.e/f/g.txt"])
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"\xff")
    both = [*documents(text, "train"), *documents(text, "heldout")]
    assert sorted(both) == ["document a.txt", "document b/c.txt"]


def test_a_manifest_tells_the_files_by_their_contents(tmp_path):
    text = write_folder(tmp_path, ["b.txt", "a/c.jsonl", ".hidden/d.txt"])

    def hashed(path: str) -> HashedFile:
        content = f"document {path}".encode()
        return HashedFile(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    manifest = TextManifest(files=[hashed("a/c.jsonl"), hashed("b.txt")])
    assert pin(text) == manifest
    assert pin(Text(text=str(tmp_path / "b.txt"))) == TextManifest(files=[hashed("b.txt")])
    (tmp_path / "b.txt").write_text("another")
    assert pin(text) != manifest


def test_a_folder_called_like_a_data_set_of_the_hub_is_not_taken_for_it(tmp_path):
    write_folder(tmp_path / NAME, ["train.txt"])
    code = f"from mfr.sources.language_model.text import *; text = Text(text='hub:{NAME}'); " + (
        "print(next(documents(text, text_files(text), 'train')))"
    )
    with Hub([["text"]]) as hub:
        process = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=hub.environment(tmp_path), capture_output=True, text=True
        )
    assert (
        f"UserError: text.text: hub:{NAME}: found a local folder or older copy, not commit {hub.commits[0]}" in process.stderr
    )


def test_paragraphs_of_a_file_are_documents(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(f"paragraph {i}\nsecond line" for i in range(50)) + "\n")
    text = Text(text=str(path), heldout_share=0.5)
    both = [*documents(text, "train"), *documents(text, "heldout")]
    assert sorted(paragraph.strip() for paragraph in both) == sorted(f"paragraph {i}\nsecond line" for i in range(50))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"text": "nowhere/at/all"}, "'nowhere/at/all' is neither a file nor a folder; give the path of one, installed_doc"),
        ({"text": "~nobody_at_all/x"}, "'~nobody_at_all/x' is neither a file nor a folder; give the path"),
        ({"text": "x" * 300}, r"x: cannot be read \(File name too long\)"),
        ({"packages": ["no_such_package"]}, "text.packages: no package 'no_such_package' is installed"),
        ({"packages": [""]}, "text.packages: no package '' is installed"),
        ({"packages": ["ast"]}, "text.packages: no package 'ast' is installed"),
        ({"text": "hub:nobody/nothing"}, "dataset 'nobody/nothing': .* cannot be reached .* run with network access"),
    ],
)
def test_a_text_that_is_not_there_is_named(text, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=message):
        list(documents(Text(**text), "train"))


def test_a_side_without_documents_is_named(tmp_path):
    text = write_folder(tmp_path, ["only.txt"])
    empty = "train" if is_heldout("only.txt", text.heldout_share) else "heldout"
    with pytest.raises(UserError, match=f"has no {empty} document at heldout_share = 0.3"):
        list(documents(text, empty))


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    text = Text(text=str(tmp_path))
    split = "heldout" if is_heldout("latin.txt", text.heldout_share) else "train"
    with pytest.raises(UserError, match=r"latin\.txt: not UTF-8 text"):
        list(documents(text, split))


def left_out(text: Text) -> dict[str, str]:
    return {each.path: each.reason for each in pin(text).left_out}


def both(text: Text) -> list[str]:
    return sorted([*documents(text, "train"), *documents(text, "heldout")])


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


def test_lone_surrogates_are_replaced_and_counted_with_documents_without_text(tmp_path, capsys):
    rows = [r'"one \ud800 and \udfff"', r'"a pair \ud83d\ude00"', '"  "', "null", '""']
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"text": {row}}}\n' for row in rows * 20))
    text = Text(text=str(path), heldout_share=0.5)
    assert both(text) == ["a pair \N{GRINNING FACE}"] * 20 + ["one \ufffd and \ufffd"] * 20
    train, heldout = capsys.readouterr().err.splitlines()
    counts = [[int(word) for word in line.split() if word.isdigit()] for line in (train, heldout)]
    assert [sum(each) for each in zip(*counts, strict=True)] == [60, 40]
    skipped, replaced = counts[0]
    assert train == f"text.text: train: {skipped} documents without text skipped, {replaced} lone surrogates replaced by U+FFFD"
    assert heldout.startswith("text.text: heldout: ")


def test_faults_within_a_text_end_its_reading(tmp_path):
    text = write_folder(tmp_path, [f"{i}.txt" for i in range(20)])
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "good"}) + "\n{broken\n")
    assert left_out(text) == {}
    with pytest.raises(UserError, match=r"rows\.jsonl, line 2: not JSON \(.*\); correct the line$"):
        both(text)


def test_older_manifests_are_read():
    older = '{"revision": null, "files": [{"path": "a", "bytes": 1, "sha256": "0"}]}'
    assert TextManifest.model_validate_json(older).left_out == list[LeftOut]()
