import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from mfr.evaluation.logits import Logits
from mfr.sources.language_model.loading import load_bridge
from tests.support.loud_model import HOOK, SHAPE, bridge, folder, pinned, plain, tokens

__all__ = ["bridge", "folder", "pinned", "plain", "tokens"]  # the fixtures


def whole(model, tokens, change=lambda activations: activations, hook=HOOK):
    """The model's own logits with changed activations."""
    hooks = [(hook, lambda activations, hook: change(activations))]
    with torch.no_grad():
        return model.run_with_hooks(tokens.long(), fwd_hooks=hooks, return_type="logits")[:, :-1].flatten(0, 1)


@pytest.mark.parametrize("at_once", [7, SHAPE.vocabulary])
def test_blocks_of_the_unembedding_give_the_models_logits(at_once, bridge, tokens, monkeypatch):
    monkeypatch.setattr("mfr.sources.language_model.model.TOKENS_AT_ONCE", at_once)
    made = Logits(bridge, HOOK, tokens[:1])
    assert made.in_blocks
    activations, intact = made.intact(tokens)
    torch.testing.assert_close(intact, whole(bridge, tokens))
    spliced = made.spliced(tokens, 0.5 * activations)
    torch.testing.assert_close(spliced, whole(bridge, tokens, lambda activations: 0.5 * activations))
    # Sequences by themselves have the same logits.
    alone = torch.cat([made.spliced(tokens[i : i + 1], 0.5 * activations[i : i + 1]).clone() for i in range(len(tokens))])
    torch.testing.assert_close(alone, whole(bridge, tokens, lambda activations: 0.5 * activations))


@pytest.mark.parametrize("hook", ["unembed.hook_in", "unembed.hook_out"])
def test_a_hook_at_the_unembedding_changes_the_logits(hook, bridge, tokens):
    made = Logits(bridge, hook, tokens[:1])
    assert made.in_blocks == (hook == "unembed.hook_in")
    activations, _ = made.intact(tokens)
    expected = whole(bridge, tokens, lambda activations: activations.roll(1, dims=-1), hook)
    torch.testing.assert_close(made.spliced(tokens, activations.roll(1, dims=-1)), expected)


def test_a_model_that_caps_its_logits_is_run_whole(tmp_path):
    config = Gemma2Config(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=16,
        final_logit_softcapping=0.5,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    model = load_bridge(str(tmp_path), None, torch.device("cpu"))
    tokens = torch.randint(0, 60, (2, 8), generator=torch.Generator().manual_seed(0))
    made = Logits(model, HOOK, tokens)
    assert not made.in_blocks
    _, intact = made.intact(tokens)
    torch.testing.assert_close(intact, whole(model, tokens))
    assert intact.abs().max() < 0.5
