"""Files of a model's folder that are missing or are not what their names say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mfr.runtime.errors import UserError
from mfr.sources.language_model.files import check_files, files_read
from tests.support.models import save, shard

TEXTS = [f"text number {i} holds some words" for i in range(40)]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404</body></html>"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("gpt2", TEXTS, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        check_files(folder)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{folder}", "model")


def cut(content: bytes) -> bytes:
    return content[:-100]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "empty; download or save it again"),
        (lambda _: b" \n", "empty; download or save it again"),
        (
            lambda _: b"../../.git/annex/objects/Xx/Yy/SHA256E-s1--0/SHA256E-s1--0",
            "a git-annex pointer, not the file: fetch it .*",
        ),
        (lambda _: LFS, "a Git LFS pointer, not the file: fetch it \\(`git lfs pull`\\)"),
        (lambda _: PAGE, "a web page, not the file itself; download it again"),
        (cut, "(not valid JSON|cut short, or not safetensors) .*; download or save it again"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(folder: Path, name: str, damage: Callable[[bytes], bytes], message: str) -> None:
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=rf"model/{name}: {message}$"):
        check_files(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON (line 1: Expecting property name enclosed in double quotes); download or save it again"),
        (b"[1]", "not a JSON object; download or save it again"),
        (b"\xef\xbb\xbf{}", "starts with a byte-order mark, which JSON does not allow; save it as UTF-8 without one"),
        ("{}".encode("utf-16"), "not UTF-8 text; download or save it again"),
        (b"[" * 100_000, "not valid JSON (nested too deeply); download or save it again"),
    ],
)
def test_a_configuration_that_is_no_json_object(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    assert refusal(folder) == f"model/config.json: {message}"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "tf_model.h5", "model.gguf"])
def test_weights_of_another_format_are_not_read(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / name)
    message = refusal(folder)
    assert f"weights only as {name}, and only safetensors are read" in message and "save_pretrained" in message


def test_pickled_weights_beside_safetensors_are_neither_read_nor_listed(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    check_files(folder)
    assert folder / "pytorch_model.bin" not in files_read(folder)


def test_an_adapter_is_not_ignored(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    assert refusal(folder).startswith("model: has a PEFT adapter (adapter_config.json), which is not read; merge it")


def test_missing_shards_are_named(folder: Path) -> None:
    shards = shard(folder)
    check_files(folder)
    for path in shards[:4]:
        path.unlink()
    named = ", ".join(path.name for path in shards[:3])
    expected = f"model/model.safetensors.index.json: names {named}, … and 1 more, missing from the folder; fetch all files"
    assert refusal(folder).startswith(expected)


def test_a_shard_outside_the_folder_is_missing(folder: Path) -> None:
    shards = shard(folder)
    shards[0].rename(folder.parent / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(shards[0].name, "../outside.safetensors"))
    assert "names ../outside.safetensors, missing from the folder" in refusal(folder)


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_an_index_without_tensors(folder: Path, content: object) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    assert "does not map tensors to files (no weight_map)" in refusal(folder)


def test_an_index_beside_whole_weights_is_not_read(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    check_files(folder)


def test_what_is_not_read_is_not_listed(folder: Path, saved: Path) -> None:
    (folder / "README.md").write_text("about this model")
    (folder / "trainer_state.json").write_text("{")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    check_files(folder)
    assert [path.name for path in files_read(folder)] == [path.name for path in files_read(saved)]
