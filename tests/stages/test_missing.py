"""What is missing or wrong about a model and its text ends the stage that needs it in one clear line, with nothing written."""

import shutil
from pathlib import Path

import pytest
import yaml

from mfr.runtime import paths
from stages import dump_activations, prepare_model
from tests.support.models import CONTEXT, save
from tests.support.small_project import SMOKE

TEXTS = [f"text number {i} holds some words" for i in range(80)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("llama", TEXTS, tmp_path_factory.mktemp("saved"))


@pytest.fixture(autouse=True)
def project(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a model in `model`, a text in `texts.txt`, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    shutil.copytree(saved, "model")
    Path("texts.txt").write_text("\n\n".join(TEXTS))
    Path("rows.jsonl").write_text('{"body": "text"}\n')
    write_params()


def write_params(model: str = "model", text: str = "texts.txt", **dump: object) -> None:
    params = yaml.safe_load(SMOKE)
    section = params["language_model"]
    section["prepare_model"] = {"model": model}
    section["text"] = {"text": text, "heldout_share": 0.3}
    section["dump_activations"] = {"context": CONTEXT, "train_tokens": 100, "heldout_tokens": 30, **dump}
    section["evaluate"] = {"sequences": 2}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and error.endswith("\n")
    return error


def test_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_model.main([]) == 0 and dump_activations.main([]) == 0
    assert capsys.readouterr().err == ""
    assert paths.vectors("language_model", "train").is_file()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("config.json", "model: not a Hugging Face model (no config.json)"),
        ("model.safetensors", "model: no weights (no *.safetensors); save the model's weights there"),
        ("tokenizer.json", "model: no tokenizer (none of tokenizer.json, "),
    ],
)
def test_a_part_of_a_model(lost: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("model", lost).unlink()
    assert prepare_model.main([]) == 1
    assert message in one_line(capsys)
    assert not paths.MODEL.exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt2", "model 'gpt2': not a local folder, and the Hugging Face hub cannot be reached ("),
        ("./nowhere", "model './nowhere': neither a local folder nor a valid name on the Hugging Face hub"),
    ],
)
def test_a_model(model: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(model=model)
    assert prepare_model.main([]) == 1
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text": "hub:Skylion007/openwebtext"},
            "dataset 'Skylion007/openwebtext': not a local folder, and the Hugging Face hub",
        ),
        ({"text": "nowhere.txt"}, "text.text: 'nowhere.txt' is neither a file nor a folder"),
        ({"text": "rows.jsonl"}, "text.column: rows.jsonl, line 1: no column 'text'; its columns are body"),
        ({"hook": "blocks.0.mlp_out"}, "no hook 'blocks.0.mlp_out'; the nearest are blocks.0."),
        ({"hook": "blocks.9.hook_mlp_out"}, "no hook 'blocks.9.hook_mlp_out'; the nearest are blocks."),
        (
            {"context": CONTEXT + 1},
            f"dump_activations.context = {CONTEXT + 1}: the model reads at most {CONTEXT} tokens; lower it",
        ),
    ],
)
def test_a_text_or_a_hook(changes: dict, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_model.main([]) == 0
    write_params(**changes)
    assert dump_activations.main([]) == 1
    assert message in one_line(capsys)
    assert not list(Path("data/language_model").glob("*.h5"))


def test_what_was_there_when_the_model_was_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    assert dump_activations.main([]) == 1
    assert f"{paths.MODEL}/manifest.json: no such file; run prepare_model first" in one_line(capsys)
    assert prepare_model.main([]) == 0
    Path("model", "tokenizer.json").unlink()
    assert dump_activations.main([]) == 1
    assert "tokenizer.json: has gone missing since prepare_model listed it; restore it, or run prepare_model again" in one_line(
        capsys
    )


def test_a_tokenizer_without_special_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Path("model", "tokenizer_config.json")
    settings.write_text(settings.read_text().replace('"bos_token": "<s>"', '"x": 0').replace('"eos_token": "</s>"', '"y": 0'))
    assert prepare_model.main([]) == 0 and dump_activations.main([]) == 1
    assert "the tokenizer has neither a BOS nor an end-of-text token" in one_line(capsys)
