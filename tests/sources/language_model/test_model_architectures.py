"""Models of three architectures, each pinned and dumped as a user's own folder."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mfr.config.experiment import Execution
from mfr.config.language_model import DumpActivations, PrepareModel, Text
from mfr.evaluation.splice import damages
from mfr.sources.language_model.model import ModelManifest, PreparedModel, capture, load, prepared, weights_sha256
from stages import dump_activations, prepare_model
from tests.support.models import CONTEXT, MODELS, save

EXECUTION = Execution(device="cpu", threads=1)
TEXTS = [f"text number {i} holds some words and some more words about {i * i}" for i in range(80)]
# What the first MLP is called in the plain model.
MLP = {"gpt2": "transformer.h.0.mlp", "gpt_neox": "gpt_neox.layers.0.mlp", "llama": "model.layers.0.mlp"}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Text:
    path = tmp_path_factory.mktemp("text") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": content}) + "\n" for content in TEXTS))
    return Text(text=str(path), heldout_share=0.3)


@pytest.fixture(scope="module", params=list(MODELS))
def pinned(request, tmp_path_factory, text) -> tuple[str, Path, PreparedModel]:
    """An architecture, its folder, and the model as prepare_model pinned it."""
    folder = save(request.param, TEXTS, tmp_path_factory.mktemp(request.param))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        prepare_model.run(PrepareModel(model=str(folder)), text, EXECUTION, Path("model"))
        return request.param, folder, prepared(Path("model").resolve(), str(folder))


def dump(pinned: PreparedModel, text: Text, **changes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The training file's arrays and attributes."""
    settings = DumpActivations(context=CONTEXT, train_tokens=150, heldout_tokens=30, dtype="float32").model_copy(update=changes)
    dump_activations.run(pinned, text, settings, EXECUTION, Path("train.h5"), Path("heldout.h5"))
    with h5py.File("train.h5") as file:
        return {name: file[name][:] for name in file}, dict(file.attrs)


def test_rows_are_the_plain_models_activations(pinned, text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    architecture, folder, model = pinned
    arrays, attributes = dump(model, text)
    manifest = ModelManifest.model_validate_json(attributes["model"])
    assert (manifest.reference, manifest.weights_sha256) == (None, weights_sha256(folder))
    plain, seen = AutoModelForCausalLM.from_pretrained(folder).eval(), []
    plain.get_submodule(MLP[architecture]).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        plain(torch.from_numpy(arrays["tokens"]).long())
    assert len(arrays["vectors"]) == 150
    expected = seen[0].numpy()[arrays["sequence"], arrays["position"]]
    np.testing.assert_allclose(arrays["vectors"], expected, rtol=1e-4, atol=1e-7)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert set(tokenizer.decode(arrays["tokens"][0, 1:]).split()) & {"text", "number", "words"}


def test_special_tokens_are_left_out(pinned, text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    special = AutoTokenizer.from_pretrained(pinned[1]).all_special_ids
    with_separators, _ = dump(pinned[2], text)
    without, attributes = dump(pinned[2], text, left_out="special_tokens")
    assert np.isin(with_separators["token_ids"], special).any()
    assert not np.isin(without["token_ids"], special).any()
    assert json.loads(attributes["left_out_tokens"]) == sorted(special)
    # The vectors left are the same ones, and as many as are asked for come from as many sequences as that takes.
    kept = ~np.isin(with_separators["token_ids"], special)
    np.testing.assert_allclose(without["vectors"][: kept.sum()], with_separators["vectors"][kept], rtol=1e-4, atol=1e-7)
    assert len(without["vectors"]) == 150 and len(without["tokens"]) > len(with_separators["tokens"])


def test_heads_are_captured_side_by_side_and_spliced(pinned) -> None:
    model = load(pinned[2], torch.device("cpu"))
    tokens = torch.randint(3, 200, (2, CONTEXT), generator=torch.Generator().manual_seed(0))
    hook = "blocks.1.attn.hook_v"
    heads, seen = capture(model, tokens, hook), []
    model.run_with_hooks(tokens, fwd_hooks=[(hook, lambda z, hook: seen.append(z))])
    assert seen[0].dim() == 4 and torch.equal(heads, seen[0].flatten(2))
    replaced = torch.ones(tokens.shape, dtype=torch.bool)
    damage = damages(model, tokens, replaced, hook, torch.zeros(heads.shape[2]), [lambda x: x, torch.zeros_like])
    intact, zeros = (each.cross_entropy for each in damage.spliced)
    assert (intact, zeros) == (pytest.approx(damage.intact), damage.zero.cross_entropy) and zeros != intact
