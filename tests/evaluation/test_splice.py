import shutil

import numpy as np
import pytest
import torch
import yaml

from mfr.config.eeg import Eeg
from mfr.config.language_model import LanguageModel
from mfr.evaluation.splice import Damage, Damages, Intact, damages, measures
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.sources.language_model.model import capture, trained_here
from mfr.sources.manifest import MANIFEST
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from tests.support.loud_model import HOOK, SHAPE, bridge, folder, pinned, plain, tokens
from tests.support.models import edit_weights
from tests.support.small_project import SMOKE

__all__ = ["bridge", "folder", "pinned", "plain", "tokens"]  # the fixtures


@pytest.fixture(scope="module")
def replaced(tokens):
    """All positions but the first, and but token 7 and its like, as special tokens are left out."""
    return (torch.arange(SHAPE.context) > 0) & (tokens % 8 != 7)


def plain_log_p(plain, tokens, replace):
    """Log-probabilities of Hugging Face's own model with its first MLP's output changed by `replace`."""
    handle = plain.transformer.h[0].mlp.register_forward_hook(lambda module, inputs, output: replace(output.clone()))
    with torch.no_grad():
        log_p = plain(tokens.long()).logits.double().log_softmax(-1)[:, :-1]
    handle.remove()
    return log_p


def test_damages_are_those_of_the_plain_model(bridge, plain, tokens, replaced):
    mean = capture(bridge, tokens, HOOK)[replaced].mean(0)
    found = damages(bridge, tokens, replaced, HOOK, mean, [lambda x: x, torch.zeros_like, lambda x: x.roll(1, dims=-1)])

    def splice(change):
        def replace(output):
            output[replaced] = change(output[replaced])
            return output

        return replace

    intact, zero, mean_ablated, rolled = (
        plain_log_p(plain, tokens, splice(change))
        for change in (lambda x: x, torch.zeros_like, lambda x: mean.expand_as(x), lambda x: x.roll(1, dims=-1))
    )
    following = tokens[:, 1:].long()

    def expected(log_q):
        loss = torch.nn.functional.nll_loss(log_q.flatten(0, 1), following.flatten()).item()
        return pytest.approx((loss, (intact.exp() * (intact - log_q)).sum(-1).mean().item()), rel=1e-4, abs=1e-6)

    assert (found.intact, 0.0) == expected(intact)
    for damage, log_q in zip([found.zero, found.mean, *found.spliced], [zero, mean_ablated, intact, zero, rolled], strict=True):
        assert (damage.cross_entropy, damage.kl) == expected(log_q)
    assert min(found.zero.kl, found.mean.kl, found.spliced[2].kl) > 1e-3
    assert found.spliced[0] == Damage(found.intact, 0.0)
    assert found.spliced[1] == found.zero


@pytest.mark.parametrize("at_once", [1, 3, 100], ids=["one position", "some", "all"])
def test_damage_is_that_of_all_positions_at_once(at_once, monkeypatch):
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 50, (3, 12), generator=random, dtype=torch.int32)
    intact, damaged = 5 * torch.randn(2, 3 * 11, 50, generator=random)
    monkeypatch.setattr("mfr.evaluation.splice.LOGITS_COMPARED", 50 * at_once)
    found = Intact(intact, tokens)
    log_p, log_q = (logits.log_softmax(1) for logits in (intact, damaged))
    loss = torch.nn.functional.nll_loss(log_q.double(), tokens[:, 1:].flatten().long(), reduction="sum")
    divergence = torch.nn.functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    cross_entropy, kl = found.damage(damaged)
    assert cross_entropy.item() == pytest.approx(loss.item(), rel=1e-6) and kl.item() == divergence.item()
    assert found.damage(intact).tolist() == [found.cross_entropy.item(), 0.0]


@pytest.mark.parametrize("sequences", [1, 2])
def test_damages_do_not_depend_on_the_batching(sequences, bridge, tokens, replaced, monkeypatch):
    mean = torch.zeros(SHAPE.width)
    whole = damages(bridge, tokens, replaced, HOOK, mean, [lambda x: x * 0.5])
    monkeypatch.setattr("mfr.evaluation.splice.LOGITS_AT_ONCE", sequences * SHAPE.context * SHAPE.vocabulary)
    parts = damages(bridge, tokens, replaced, HOOK, mean, [lambda x: x * 0.5])
    for one, other in zip([whole.zero, *whole.spliced], [parts.zero, *parts.spliced], strict=True):
        assert vars(one) == pytest.approx(vars(other), rel=1e-5)


def test_rows_that_are_not_replaced_are_not_reconstructed(bridge, tokens, replaced):
    seen = []

    def reconstruct(rows):
        seen.append(rows)
        return rows

    damages(bridge, tokens, replaced, HOOK, torch.zeros(SHAPE.width), [reconstruct])
    torch.testing.assert_close(torch.cat(seen), capture(bridge, tokens, HOOK)[replaced])


def test_the_loss_recovered_is_the_share_of_an_ablations_damage():
    found = Damages(intact=4.0, zero=Damage(8.0, 1.0), mean=Damage(6.0, 1.0), spliced=[Damage(5.0, 0.5)])
    assert found.recovered(found.spliced[0], found.zero) == 0.75
    assert found.recovered(found.spliced[0], found.mean) == 0.5


@pytest.fixture
def heldout(tokens, tmp_path):
    with VectorWriter(tmp_path / "heldout.h5", "language_model", {"vectors": ((SHAPE.width,), "float32")}) as writer:
        writer.append(vectors=torch.zeros(1, SHAPE.width).numpy())
        writer.describe("hook", HOOK)
        writer.describe("left_out_tokens", "[]")
        writer.attach("tokens", tokens.numpy())
    with Vectors(tmp_path / "heldout.h5") as vectors:
        yield vectors


def section(model: str) -> LanguageModel:
    parameters = yaml.safe_load(SMOKE)["language_model"]
    parameters["prepare_model"] |= {"model": model}
    return LanguageModel.model_validate(parameters | {"evaluate": {"sequences": 3}})


def test_the_model_is_read_from_the_folder_that_the_parameters_name(bridge, pinned, folder, tokens, heldout, monkeypatch):
    monkeypatch.chdir(heldout.path.parent)
    paths.MODEL.mkdir(parents=True)
    (paths.MODEL / MANIFEST).write_bytes((pinned / MANIFEST).read_bytes())
    cpu, mean = torch.device("cpu"), torch.zeros(SHAPE.width)
    found = measures(section(str(folder)), heldout, mean, [torch.zeros_like], cpu)
    everywhere = (torch.arange(SHAPE.context) > 0).expand(3, SHAPE.context)
    expected = damages(bridge, tokens[:3], everywhere, HOOK, mean, [torch.zeros_like])
    assert found.of_source["intact"] == expected.intact and found.of_saes[0]["cross_entropy"] == expected.zero.cross_entropy
    with pytest.raises(UserError, match=r"prepare_model\.model: elsewhere is not the folder that prepare_model listed"):
        measures(section("elsewhere"), heldout, mean, [torch.zeros_like], cpu)


def test_a_loss_that_is_no_number_is_refused(folder, plain, heldout, monkeypatch):
    monkeypatch.chdir(heldout.path.parent)
    shutil.copytree(folder, paths.MODEL)

    def change(tensors):
        tensors["transformer.ln_f.weight"][:] = 3e38
        return tensors

    edit_weights(paths.MODEL, change)
    (paths.MODEL / MANIFEST).write_text(trained_here(paths.MODEL).text())
    with pytest.raises(UserError, match=r"evaluate: the model's loss on \S+heldout\.h5 is nan; choose another model or text"):
        measures(section("trained_here"), heldout, torch.zeros(SHAPE.width), [torch.zeros_like], torch.device("cpu"))


def test_activations_in_place_of_another_sources_vectors_are_refused(dense_file):
    message = "activations of a language model in place of another source's vectors"
    with Vectors(dense_file(np.eye(4, dtype=np.float32))) as heldout, pytest.raises(UserError, match=message):
        measures(Eeg.model_validate(yaml.safe_load(SMOKE)["eeg"]), heldout, torch.zeros(4), [], torch.device("cpu"))
