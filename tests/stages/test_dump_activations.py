import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from transformers import AutoTokenizer, GPT2LMHeadModel

from mfr.config.experiment import Execution
from mfr.config.language_model import DumpActivations, LanguageModel, Text, TrainedHere
from mfr.config.load import load
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.language_model.gpt2 import new_model, train_tokenizer
from mfr.sources.language_model.model import ModelManifest, prepared, trained_here
from mfr.sources.language_model.text import TextManifest, pin, text_files
from mfr.sources.manifest import MANIFEST
from mfr.vectors.reader import Vectors
from stages import dump_activations
from tests.conftest import ROOT
from tests.support.hub import NAME, Hub
from tests.support.small_project import SMOKE

CONTEXT, WIDTH = 12, 16
DUMP = DumpActivations(context=CONTEXT, train_tokens=100, heldout_tokens=50, batch=4, dtype="float32")
EXECUTION = Execution(device="cpu", threads=1, progress_s=1e9)
TEXTS = [f"text number {i} holds some words and some more words about {i * i}" for i in range(80)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(TEXTS, 512)
    shape = TrainedHere(layers=2, width=WIDTH, heads=2, vocabulary=512, context=CONTEXT, steps=1)
    new_model(shape, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / MANIFEST).write_text(trained_here(folder).text())
    (folder / ".snakemake_timestamp").touch()
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for i, content in enumerate(TEXTS):
        (folder / f"{i}.txt").write_text(content)
    return Text(text=str(folder), heldout_share=0.3)


@pytest.fixture
def dump(model, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        settings, outputs = DUMP.model_copy(update=changes), (tmp_path / "train.h5", tmp_path / "heldout.h5")
        dump_activations.run(prepared(model), text, settings, EXECUTION, *outputs)
        return outputs

    return run


def test_files_hold_exactly_the_tokens_asked_for(dump):
    train, heldout = dump()
    for path, rows in ((train, 100), (heldout, 50)):
        with h5py.File(path) as file:
            assert file["vectors"].shape == (rows, WIDTH)
            assert file["vectors"].dtype == np.float32
            assert {file[name].shape for name in ("token_ids", "position", "sequence")} == {(rows,)}
            assert file["tokens"].shape == (math.ceil(rows / (CONTEXT - 1)), CONTEXT)


def test_rows_are_the_plain_models_activations_without_bos(dump, model):
    train, _ = dump()
    with h5py.File(train) as file:
        tokens, position, sequence = (file[name][:] for name in ("tokens", "position", "sequence"))
        vectors, token_ids = file["vectors"][:], file["token_ids"][:]
    plain = GPT2LMHeadModel.from_pretrained(model).eval()
    seen = []
    plain.transformer.h[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        plain(torch.from_numpy(tokens).long())
    assert (position >= 1).all()
    assert len({*zip(sequence, position, strict=True)}) == len(position)
    np.testing.assert_array_equal(token_ids, tokens[sequence, position])
    np.testing.assert_allclose(vectors, seen[0].numpy()[sequence, position], rtol=1e-4, atol=1e-6)


def test_the_two_files_hold_different_documents(dump, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    documents = []
    for path in dump():
        with h5py.File(path) as file:
            whole = tokenizer.decode(file["tokens"][:, 1:].reshape(-1))
        documents.append({document for document in whole.split("<|endoftext|>")[:-1] if document})
    train, heldout = documents
    assert train <= set(TEXTS)
    assert heldout <= set(TEXTS)
    assert heldout
    assert not train & heldout


def test_attributes_say_how_to_make_the_file_again(dump, text):
    train, _ = dump()
    with h5py.File(train) as file:
        assert json.loads(file.attrs["parameters"]) == {"text": text.model_dump(), "dump_activations": DUMP.model_dump()}
        assert ModelManifest.model_validate_json(file.attrs["model"]).reference == "."
        assert file.attrs["hook"] == "blocks.0.hook_mlp_out"
        assert file.attrs["source"] == "language_model"


def test_attributes_say_which_text_was_read_whenever_it_was_written(dump, text):
    first = [path.read_bytes() for path in dump()]
    os.utime(Path(text.text, "7.txt"), (0, 0))
    train, heldout = dump()
    assert [path.read_bytes() for path in (train, heldout)] == first
    for path in (train, heldout):
        with h5py.File(path) as file:
            manifest = TextManifest.model_validate_json(file.attrs["text"])
        assert manifest == pin(text, text_files(text))
        assert len(manifest.files) == len(TEXTS)


def test_what_is_left_out_of_the_text_is_said_and_recorded_and_changes_no_vector(dump, model, text, tmp_path, capsys):
    first = [Vectors(path).read(0, 50) for path in dump()]
    assert "left out" not in capsys.readouterr().err
    folder = shutil.copytree(text.text, tmp_path / "spoilt")
    (folder / "cut.parquet").write_bytes(b"PAR1")
    (folder / "dangling.txt").symlink_to("nowhere.txt")
    train, heldout = tmp_path / "train.h5", tmp_path / "heldout.h5"
    dump_activations.run(prepared(model), text.model_copy(update={"text": str(folder)}), DUMP, EXECUTION, train, heldout)
    assert capsys.readouterr().err == (
        "text.text: 2 of 82 files left out: cut.parquet: not a whole parquet file: download or write it again; "
        "dangling.txt: dangling link: nowhere.txt (No such file or directory)\n"
    )
    with h5py.File(train) as file:
        manifest = TextManifest.model_validate_json(file.attrs["text"])
    assert [each.path for each in manifest.left_out] == ["cut.parquet", "dangling.txt"]
    assert all(torch.equal(Vectors(path).read(0, 50), vectors) for path, vectors in zip((train, heldout), first, strict=True))


def test_the_batch_and_the_number_format_change_only_rounding(dump):
    with Vectors(dump()[0]) as file:
        first = file.read(0, 100)
    with Vectors(dump(batch=3, dtype="float16")[0]) as file:
        second = file.read(0, 100)
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_a_second_run_writes_the_same_bytes(dump):
    first = [path.read_bytes() for path in dump()]
    assert [path.read_bytes() for path in dump()] == first


def test_a_text_too_short_says_how_much_there_is_and_leaves_nothing(dump, tmp_path):
    with pytest.raises(UserError, match=r"heldout_tokens = 100000: the heldout documents of .* give only \d{3} vectors"):
        dump(heldout_tokens=100_000)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_one_value_beyond_float16_makes_all_rows_float32(dump, model, text, tmp_path, capsys):
    train, heldout = dump(dtype="float16", hook="embed.hook_out")
    with h5py.File(train) as file, h5py.File(heldout) as other:
        assert file["vectors"].dtype == np.float16 and "dtype" not in file.attrs
        early, late, elsewhere = file["token_ids"][:88], file["token_ids"][88:], other["token_ids"][:]
    # A token of the last batch alone is loud: what comes before was stored as float16.
    loud_token = min(set(late) - set(early) - set(elsewhere))
    loud = tmp_path / "loud"
    shutil.copytree(model, loud)
    plain = GPT2LMHeadModel.from_pretrained(model)
    with torch.no_grad():
        plain.transformer.wte.weight[loud_token] = 1e5
    plain.save_pretrained(loud)
    (loud / MANIFEST).write_text(trained_here(loud).text())
    half = DUMP.model_copy(update={"dtype": "float16", "hook": "embed.hook_out"})
    dump_activations.run(prepared(loud), text, half, EXECUTION, train, heldout)
    assert "dump_activations: a value overflows float16; restarting with float32" in capsys.readouterr().err
    embedding = plain.transformer.wte.weight.detach().numpy()
    for path in (train, heldout):
        with h5py.File(path) as file:
            assert file["vectors"].dtype == np.float32
            assert file.attrs["dtype"] == "float32, because a value overflows float16"
            np.testing.assert_array_equal(file["vectors"], embedding[file["token_ids"]])
    with Vectors(train) as vectors:
        assert vectors.read(0, 100).max() == 1e5


def test_activations_that_are_no_numbers_are_named(dump, model, text, tmp_path):
    with h5py.File(dump()[1]) as file:
        tokens = file["tokens"][:]
    token = tokens[3, 5]
    sequence = np.argwhere(tokens[:, 1:] == token)[0][0]
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    plain = GPT2LMHeadModel.from_pretrained(model)
    with torch.no_grad():  # Each weight is finite, but not the sum of the token's and the position's.
        plain.transformer.wte.weight[token, 0] = 3e38
        plain.transformer.wpe.weight[1:, 0] = 1e38
    plain.save_pretrained(broken)
    (broken / MANIFEST).write_text(trained_here(broken).text())
    for dtype in ("float16", "float32"):
        with pytest.raises(UserError) as error:
            dump_activations.run(
                prepared(broken), text, DUMP.model_copy(update={"dtype": dtype}), EXECUTION, Path("a.h5"), Path("b.h5")
            )
        assert str(error.value) == (
            f"dump_activations.hook: blocks.0.hook_mlp_out is NaN or infinite in sequence {sequence} of heldout, "
            "although the weights are finite; choose a hook in an earlier layer, or another model"
        )
    assert not Path("a.h5").exists() and not Path("b.h5").exists()


def test_weights_that_are_no_numbers_are_named(model, text, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    plain = GPT2LMHeadModel.from_pretrained(model)
    with torch.no_grad():
        plain.transformer.h[1].ln_2.bias[3] = float("nan")
    plain.save_pretrained(broken)
    (broken / MANIFEST).write_text(trained_here(broken).text())
    with pytest.raises(UserError, match=r"broken: transformer\.h\.1\.ln_2\.bias has NaN or infinite values; fetch or save"):
        dump_activations.run(prepared(broken), text, DUMP, EXECUTION, Path("a.h5"), Path("b.h5"))


def test_nothing_is_left_in_scratch(dump):
    dump()
    assert not paths.parts("dump_activations").exists()


@pytest.fixture
def command(model, tmp_path, monkeypatch):
    """Runs a dump of some seconds, a block a batch, as a process of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, paths.MODEL)
    Path("texts.txt").write_text("\n\n".join(f"{content}, and more of {i}" for i in range(4) for content in TEXTS))
    params = yaml.safe_load(SMOKE)
    params["language_model"]["text"] = {"text": "texts.txt", "heldout_share": 0.3}
    wanted = {"context": CONTEXT, "train_tokens": 1200, "heldout_tokens": 300, "batch": 1}
    params["language_model"]["dump_activations"] = wanted
    params["execution"] |= {"checkpoint_s": 1e-9}
    Path("params.yaml").write_text(yaml.safe_dump(params))

    def start(**changes: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
        words = [sys.executable, "-m", "stages.dump_activations"]
        return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def wait_for_block(name: str, process: subprocess.Popen | None = None) -> None:
    while not list(paths.parts("dump_activations").glob(f"{name}-*.part")):
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def test_a_dump_that_was_killed_goes_on_and_ends_with_the_same_bytes(command):
    process = command()
    wait_for_block("train-float16", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    outputs = [paths.vectors("language_model", split) for split in ("train", "heldout")]
    assert not any(path.exists() for path in outputs)
    process = command()
    _, errors = process.communicate()
    assert process.returncode == 0
    assert re.search(r"heldout-float16: resuming at vector 3\d\d\ntrain-float16: resuming at vector \d", errors)
    resumed = [path.read_bytes() for path in outputs]
    section = load(Path("params.yaml")).section(LanguageModel)
    dump_activations.run(prepared(paths.MODEL), section.text, section.dump_activations, EXECUTION, *outputs)
    assert [path.read_bytes() for path in outputs] == resumed


@pytest.mark.usefixtures("command")
def test_a_signal_stops_the_dump_in_good_order(capsys):
    def stop() -> None:
        wait_for_block("heldout-float16")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert dump_activations.main([]) == 128 + signal.SIGTERM
    errors = capsys.readouterr().err
    assert errors == "stopped by SIGTERM: finished blocks are kept; run again to resume\n"
    assert not paths.vectors("language_model", "train").exists()


def test_a_data_set_of_the_hub_is_read_at_one_commit_whatever_is_pushed(command, tmp_path):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["language_model"]["text"] = {"text": f"hub:{NAME}", "heldout_share": 0.3}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with Hub([[f"{content}, {version} {i}" for i in range(4) for content in TEXTS] for version in ("older", "newer")]) as hub:
        process = command(**hub.environment(tmp_path))
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    for split in ("train", "heldout"):
        with h5py.File(paths.vectors("language_model", split)) as file:
            assert TextManifest.model_validate_json(file.attrs["text"]) == TextManifest(revision=hub.commits[0])
            tokens = file["tokens"][:]
        whole = AutoTokenizer.from_pretrained(paths.MODEL).decode(tokens.reshape(-1))
        assert "older" in whole and "newer" not in whole


def test_a_wrong_hook_is_named_with_its_neighbours(dump):
    with pytest.raises(UserError, match=r"no hook 'blocks\.0\.mlp_out'; the nearest are .*blocks\.0\.hook_mlp_out"):
        dump(hook="blocks.0.mlp_out")
