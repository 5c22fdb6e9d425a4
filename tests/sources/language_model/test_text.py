import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest

from mfr.config.language_model import Text
from mfr.runtime.errors import UserError
from mfr.sources.language_model.text import TextManifest, docstrings, is_heldout
from mfr.sources.manifest import HashedFile, LeftOut
from tests.support.hub import NAME, Hub
from tests.support.texts import both, documents, left_out, pin, write_folder

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
