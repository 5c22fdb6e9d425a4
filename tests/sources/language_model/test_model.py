import os
import shutil
import time

import pytest
import torch

from mfr.runtime.errors import UserError
from mfr.sources.language_model.model import (
    ModelManifest,
    activation_size,
    capture,
    load,
    load_tokenizer,
    pin,
    prepared,
    trained_here,
    weights_sha256,
)
from mfr.sources.manifest import MANIFEST
from tests.support.loud_model import HOOK, SHAPE, bridge, folder, pinned, plain, tokens

__all__ = ["bridge", "folder", "pinned", "plain", "tokens"]  # the fixtures


@pytest.mark.parametrize("layer", [0, 2])
def test_captured_activations_are_those_of_the_plain_model(bridge, plain, tokens, layer):
    seen = []
    handle = plain.transformer.h[layer].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        plain(tokens.long())
    handle.remove()
    captured = capture(bridge, tokens, f"blocks.{layer}.hook_mlp_out")
    assert captured.shape == (5, SHAPE.context, SHAPE.width)
    torch.testing.assert_close(captured, seen[0], rtol=1e-4, atol=1e-4 * seen[0].abs().max().item())


@pytest.mark.parametrize(("hook", "blocks"), [("embed.hook_out", []), (HOOK, [0]), ("blocks.1.attn.hook_z", [0, 1])])
def test_what_comes_after_the_hook_is_not_run(bridge, tokens, hook, blocks):
    ran = []
    handles = [block.register_forward_pre_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(bridge.blocks)]
    capture(bridge, tokens, hook)
    for handle in handles:
        handle.remove()
    assert ran == blocks


def test_a_hook_outside_the_blocks_can_be_captured(bridge, plain, tokens):
    torch.testing.assert_close(capture(bridge, tokens, "embed.hook_out"), plain.transformer.wte(tokens.long()))


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("blocks.0.hook_mlp_uot", r"no hook 'blocks.0.hook_mlp_uot'; the nearest are .*blocks\.0\.hook_mlp_out"),
        ("blocks.7.hook_mlp_out", r"no hook 'blocks.7.hook_mlp_out'; the nearest are .*hook_mlp_out"),
        ("blocks.0.attn.hook_pattern", r"hook_pattern has shape \(5, 2, 12, 12\); choose a hook of shape"),
        ("rotary_emb.hook_out", r"no hook 'rotary_emb.hook_out'; the nearest are"),
        ("7", r"no hook '7'; it has, for example, blocks\.0\.hook_resid_post, blocks\.0\.hook_mlp_out"),
        ("blocks.0.hook_attn_in", "hook_attn_in is disabled .*; choose another hook"),
    ],
)
def test_a_hook_that_cannot_be_used_is_named(bridge, tokens, hook, message):
    with pytest.raises(UserError, match=message):
        capture(bridge, tokens, hook)


def test_attention_patterns_are_no_vectors_even_with_as_many_heads_as_tokens(bridge):
    pattern = "blocks.0.attn.hook_pattern"
    assert capture(bridge, torch.zeros(1, SHAPE.heads, dtype=torch.int32), pattern).shape == (1, SHAPE.heads, SHAPE.heads**2)
    with pytest.raises(UserError, match=r"hook_pattern has shape \(1, 2, 1, 1\)"):
        activation_size(bridge, pattern)
    assert activation_size(bridge, HOOK) == SHAPE.width


def test_tokens_that_the_model_cannot_read_are_named(bridge):
    with pytest.raises(UserError, match=r"dump_activations.context = 13: the model reads at most 12 tokens; lower it"):
        capture(bridge, torch.zeros(1, 13, dtype=torch.int32), HOOK)
    with pytest.raises(UserError, match="token 512 is outside the model's vocabulary of 512"):
        capture(bridge, torch.full((1, 4), 512), HOOK)


def test_the_manifest_of_a_folder_tells_its_files(folder):
    manifest = pin(str(folder), None).manifest
    assert manifest.reference is None and str(folder) not in manifest.text()
    assert manifest.weights_sha256 == weights_sha256(folder)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.path for file in manifest.files}
    assert {file.path: file.bytes for file in manifest.files}["config.json"] == (folder / "config.json").stat().st_size


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", r"not a Hugging Face model \(no config\.json\)"),
        ("model.safetensors", "copy: no weights"),
        ("tokenizer.json", "copy: no tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused(folder, tmp_path, missing, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / missing).unlink()
    with pytest.raises(UserError, match=message):
        pin(str(copy), None)


def test_a_folder_has_no_revision(folder):
    with pytest.raises(UserError, match=rf"prepare_model.revision = main: {folder} is a local folder without revisions"):
        pin(str(folder), "main")


def test_a_copy_of_a_model_is_the_same_model(folder, tmp_path, monkeypatch):
    manifest = pin(str(folder), None).manifest
    copy = shutil.copytree(folder, tmp_path / "home" / "copy", copy_function=shutil.copy)
    os.utime(copy / "model.safetensors", (0, 0))
    (tmp_path / "link").symlink_to(copy)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in (str(copy), "home/copy", "./home/../home/copy/", "link", "~/copy"):
        assert pin(name, None).manifest == manifest
    (tmp_path / MANIFEST).write_text(manifest.text())
    assert prepared(tmp_path, "~/copy").place == str(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "generation_config.json"])
def test_a_pinned_folder_that_has_changed_is_refused(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / MANIFEST).write_text(pin(str(copy), None).manifest.text())
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(UserError, match=rf"copy/{name}: has changed since prepare_model listed it; restore it, or run"):
        prepared(tmp_path, str(copy))
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"copy/{name}: has gone missing since prepare_model listed it; restore it, or run"):
        prepared(tmp_path, str(copy))


def test_a_file_that_was_added_to_a_pinned_folder_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / MANIFEST).write_text(pin(str(copy), None).manifest.text())
    (copy / "README.md").write_text("is not read")
    prepared(tmp_path, str(copy))
    (copy / "added_tokens.json").write_text("{}")
    with pytest.raises(UserError, match=r"added_tokens\.json: was not there when prepare_model listed the folder; remove it"):
        prepared(tmp_path, str(copy))


@pytest.mark.parametrize("model", ["trained_here", "gone", None])
def test_a_pinned_folder_that_the_parameters_do_not_name_is_refused(folder, tmp_path, model):
    (tmp_path / MANIFEST).write_text(pin(str(folder), None).manifest.text())
    with pytest.raises(UserError, match=rf"prepare_model.model: {model} is not the folder that prepare_model listed; run"):
        prepared(tmp_path, model)


def test_weights_that_are_cut_short_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (copy / MANIFEST).write_text(trained_here(copy).text())
    with pytest.raises(UserError, match="copy: cannot be loaded"):
        load(prepared(copy), torch.device("cpu"))


def test_a_tokenizer_that_is_missing_is_not_made_up(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("tokenizer*"))
    (copy / MANIFEST).write_text(trained_here(copy).text())
    with pytest.raises(UserError, match=r"copy: (cannot load the|no) tokenizer"):
        load_tokenizer(prepared(copy))


def test_a_model_that_was_not_prepared_is_named(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json: no such file; run prepare_model first"):
        prepared(tmp_path)


def test_a_hub_name_without_a_network_fails_at_once(tmp_path, monkeypatch):
    # Nothing listens on port 9: the connection is refused, as it is without a network.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(
        UserError, match=r"model 'gpt2': .*cannot be reached \(.*\); give a local folder, or run with network access"
    ):
        pin("gpt2", None)
    manifest = ModelManifest(reference="nobody/nothing", revision="0" * 40)
    (tmp_path / MANIFEST).write_text(manifest.text())
    with pytest.raises(UserError, match=r"model 'nobody/nothing': .*cannot be reached"):
        prepared(tmp_path)
    assert time.monotonic() - started < 5


def test_a_path_that_is_no_folder_is_refused_without_asking_the_hub():
    with pytest.raises(UserError, match=r"'./models/none': neither a local folder nor a valid name"):
        pin("./models/none", None)
