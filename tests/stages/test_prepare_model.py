import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mfr.config.experiment import Execution
from mfr.config.language_model import PrepareModel, Text, TrainedHere
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.language_model.model import ModelManifest, prepared, weights_sha256
from mfr.sources.manifest import MANIFEST
from stages import prepare_model
from tests.support.models import edit_config

PROJECT = Path(__file__).parents[2]
TRAINED_HERE = TrainedHere(layers=1, width=16, heads=2, vocabulary=512, context=16, batch=4, steps=3)
EXECUTION = Execution(device="cpu", threads=1)


@pytest.fixture
def text(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i}.txt").write_text(f"text number {i} holds some words and some more words")
    return Text(text=str(folder))


@pytest.fixture
def trained(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare_model.run(PrepareModel(trained_here=TRAINED_HERE), text, EXECUTION, paths.MODEL)
    return tmp_path / paths.MODEL


def test_the_model_trained_here_is_pinned_by_its_weights(trained):
    manifest = ModelManifest.read(trained / MANIFEST, "prepare_model")
    assert (manifest.reference, manifest.weights_sha256) == (".", weights_sha256(trained))
    assert {file.path for file in manifest.files} | {MANIFEST} == {path.name for path in trained.iterdir()}
    assert (trained / "config.json").is_file()


def test_a_model_trained_here_that_was_changed_is_refused(trained):
    path = trained / "tokenizer.json"
    content = path.read_text()
    path.write_text(content.replace("0", "1", 1))
    try:
        with pytest.raises(UserError, match=r"tokenizer\.json: has changed since prepare_model listed it"):
            prepared(trained)
    finally:
        path.write_text(content)
    assert prepared(trained).manifest.reference == "."


def test_a_second_run_writes_the_same_bytes(trained, text):
    first = {path.name: path.read_bytes() for path in trained.iterdir()}
    prepare_model.run(PrepareModel(trained_here=TRAINED_HERE), text, EXECUTION, paths.MODEL)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == first


def test_what_is_left_out_of_the_text_is_said_and_changes_no_weight(trained, text, capsys):
    first = weights_sha256(trained)
    (Path(text.text) / "image.png").write_bytes(b"\x89PNG")
    capsys.readouterr()
    prepare_model.run(PrepareModel(trained_here=TRAINED_HERE), text, EXECUTION, paths.MODEL)
    assert capsys.readouterr().err == "text.text: 1 of 61 files left out: image.png: an image, a sound or a video\n"
    assert weights_sha256(trained) == first


def test_a_local_folder_is_only_pinned(trained, text):
    prepare_model.run(PrepareModel(model=str(trained)), text, EXECUTION, Path("pinned"))
    assert [path.name for path in Path("pinned").iterdir()] == [MANIFEST]
    manifest = ModelManifest.read(Path("pinned") / MANIFEST, "prepare_model")
    assert manifest.reference is None
    assert manifest.weights_sha256 == weights_sha256(trained)


def test_a_copy_that_was_touched_writes_the_same_bytes(trained, text):
    shutil.copytree(trained, "copy", copy_function=shutil.copyfile)
    for name in (str(trained), "copy"):
        prepare_model.run(PrepareModel(model=name), text, EXECUTION, Path("pinned") / Path(name).name)
    first, second = (path.read_bytes() for path in sorted(Path("pinned").glob(f"*/{MANIFEST}")))
    assert first == second and b"copy" not in first


def test_a_model_that_cannot_be_studied_is_one_clear_line_and_writes_nothing(trained, text, capsys):
    shutil.copytree(trained, "mine")
    edit_config(Path("mine"), n_layer=3)
    write_params(Path(), "mine")
    before = (trained / MANIFEST).read_bytes()
    assert prepare_model.main([]) == 1
    error = capsys.readouterr().err
    assert (
        error.startswith("error: mine: the weights do not fit config.json (missing: transformer.h.1.")
        and error.count("\n") == 1
    )
    assert (trained / MANIFEST).read_bytes() == before


def write_params(folder: Path, model: str) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["language_model"]["prepare_model"] = {"model": model}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def assert_one_clear_line(error: str) -> None:
    assert len(error.splitlines()) == 1
    assert error.startswith("error: model 'gpt2': not a local folder, and the Hugging Face hub cannot be reached (")
    assert error.endswith("give a local folder, or run with network access\n")
    assert not paths.MODEL.exists()


def test_a_hub_name_in_offline_mode_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    write_params(tmp_path, "gpt2")
    assert prepare_model.main([]) == 1
    assert_one_clear_line(capsys.readouterr().err)


def test_a_hub_name_without_a_network_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, "gpt2")
    # Nothing listens on port 9: the connection is refused, as it is without a network.
    changed = {"PYTHONPATH": str(PROJECT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    inherited = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-m", "stages.prepare_model"]
    result = subprocess.run(command, env=inherited | changed, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert_one_clear_line(result.stderr)


def test_a_failed_run_leaves_the_earlier_model(trained, text):
    Path("other").mkdir()
    before = (trained / MANIFEST).read_bytes()
    with pytest.raises(UserError, match="not a Hugging Face model"):
        prepare_model.run(PrepareModel(model="other"), text, EXECUTION, paths.MODEL)
    assert (trained / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("inside", ["", "mine"])
def test_a_model_inside_the_output_is_not_deleted(trained, text, inside):
    model = paths.MODEL / inside
    if inside:
        shutil.copytree(trained, model)
    before = weights_sha256(model)
    with pytest.raises(UserError, match=rf"prepare_model.model: {model} is inside {paths.MODEL}"):
        prepare_model.run(PrepareModel(model=str(model)), text, EXECUTION, paths.MODEL)
    assert weights_sha256(model) == before
