"""Exported SAEs: the folder's content, and what SAELens itself makes of it.

SAELens' python is named by MFR_SAELENS_PYTHON, or is in .venv-saelens, which `make bench` makes.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mfr.config.language_model import TrainedHere
from mfr.evaluation.splice import damages
from mfr.export.saelens import VERSION, Origin, negative_shares, write_sae
from mfr.saes.ensemble import Activation, Ensemble
from mfr.sources.language_model.model import capture, load, prepared, trained_here
from mfr.sources.manifest import MANIFEST
from mfr.training.inputs import Scaling
from mfr.vectors.reader import Vectors
from tests.conftest import ROOT
from tests.support.dense import dense_reconstruction
from tests.support.models import save_loud

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

SAELENS = Path(os.environ.get("MFR_SAELENS_PYTHON", ROOT / ".venv-saelens" / "bin" / "python"))
ORIGIN = Origin(model_name="gpt2", hook_name="blocks.0.hook_mlp_out", context_size=12, prepend_bos=True)
HOOK = "blocks.0.hook_mlp_out"
SHAPE = TrainedHere(layers=2, width=16, heads=2, vocabulary=512, context=12, steps=1)
TOKENS = torch.randint(0, SHAPE.vocabulary, (20, SHAPE.context), generator=torch.Generator().manual_seed(0))
REPLACED = (torch.arange(SHAPE.context) > 0).expand(TOKENS.shape)


def ensemble(k: list[int], activation: Activation) -> Ensemble:
    """SAEs with features of several lengths, biases and an offset, as those on scaled inputs have them."""
    generator = torch.Generator().manual_seed(0)
    saes = Ensemble.random(k, 40, SHAPE.width, activation, seed=0)
    saes.W *= torch.linspace(0.5, 2, 40)[:, None]
    saes.b += torch.randn(len(k), 40, generator=generator)
    return Scaling(torch.randn(SHAPE.width, generator=generator), 1.7).folded(saes)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(300, SHAPE.width, generator=torch.Generator().manual_seed(1))


def test_the_folder_holds_the_sae_in_saelens_terms(x: torch.Tensor, tmp_path: Path) -> None:
    saes = ensemble([3, 7], "topk_relu")
    write_sae(tmp_path / "sae", saes, 1, ORIGIN)
    assert {path.name for path in (tmp_path / "sae").iterdir()} == {"sae_weights.safetensors", "cfg.json"}
    weights, config = (
        load_file(tmp_path / "sae" / "sae_weights.safetensors"),
        json.loads((tmp_path / "sae" / "cfg.json").read_text()),
    )
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "W_enc": (16, 40),
        "b_enc": (40,),
        "W_dec": (40, 16),
        "b_dec": (16,),
    }
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 16, 40, 7)
    assert not config["apply_b_dec_to_input"] and not config["rescale_acts_by_decoder_norm"]
    assert config["metadata"]["sae_lens_version"] == VERSION and config["metadata"]["context_size"] == 12
    assert "model_revision" not in config["metadata"]
    pre = x @ weights["W_enc"] + weights["b_enc"]
    values, indices = pre.topk(7, dim=1)
    z = torch.zeros_like(pre).scatter(1, indices, values.relu())
    expected = dense_reconstruction(x, saes.W[1], saes.b[1], 7, relu=True) + saes.offset
    assert torch.allclose(z @ weights["W_dec"] + weights["b_dec"], expected, atol=1e-5)


def test_the_version_is_that_of_the_tested_saelens() -> None:
    assert f"sae-lens=={VERSION}" in (ROOT / "benchmarks" / "requirements-saelens.txt").read_text().splitlines()


def test_negative_shares_are_those_of_dense_latents(
    x: torch.Tensor, dense_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfr.export.saelens.ROWS_AT_ONCE", 64)
    saes = ensemble([2, 30], "topk")
    with Vectors(dense_file(x.numpy())) as vectors:
        shares = negative_shares(vectors, saes)
        saes.activation = "topk_relu"
        assert negative_shares(vectors, saes) == [0, 0]
    kept = (x @ saes.W[1].T + saes.b[1]).topk(30, dim=1).values
    assert shares[0] == 0 and shares[1] == pytest.approx((kept < 0).float().mean().item()) and shares[1] > 0.05


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> "TransformerBridge":
    folder = save_loud(SHAPE, tmp_path_factory.mktemp("model"))
    (folder / MANIFEST).write_text(trained_here(folder).text())
    return load(prepared(folder), torch.device("cpu"))


@dataclass
class Read:
    """An exported SAE, vectors, and what SAELens made of both."""

    saes: Ensemble
    x: torch.Tensor
    latents: torch.Tensor
    reconstruction: torch.Tensor
    metadata: dict[str, object]


@pytest.fixture(scope="module")
def read_by_saelens(bridge: "TransformerBridge", tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    """Activations of the model, through SAEs that SAELens loaded, by their names."""
    if not SAELENS.exists():
        pytest.skip(f"no SAELens: {SAELENS} does not exist; `make bench` makes it, or MFR_SAELENS_PYTHON names its python")
    folder = tmp_path_factory.mktemp("exported")
    x = capture(bridge, TOKENS, HOOK)[REPLACED]
    np.save(folder / "vectors.npy", x.numpy())
    cases = {"few": ensemble([3], "topk_relu"), "clipped": ensemble([30], "topk_relu"), "negative": ensemble([30], "topk")}
    cases["positive"] = Ensemble(cases["few"].W, cases["few"].b + 20, [3], "topk", cases["few"].offset)
    for name, saes in cases.items():
        write_sae(folder / name, saes, 0, ORIGIN)
    command = [
        SAELENS,
        ROOT / "tests" / "support" / "saelens_reader.py",
        folder / "vectors.npy",
        *(folder / name for name in cases),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for name, saes in cases.items():
        arrays, metadata = np.load(folder / f"{name}.npz"), json.loads((folder / f"{name}.json").read_text())
        latents, reconstruction = (torch.from_numpy(arrays[key]) for key in ("latents", "reconstruction"))
        found[name] = Read(saes, x, latents, reconstruction, metadata)
    return found


def dense_latents(read: Read) -> torch.Tensor:
    pre = read.x @ read.saes.W[0].T + read.saes.b[0]
    values, indices = pre.topk(read.saes.k[0], dim=1)
    return torch.zeros_like(pre).scatter(1, indices, values)


@pytest.mark.parametrize("name", ["few", "clipped", "positive"])
def test_saelens_reproduces_latents_and_reconstruction(read_by_saelens: dict[str, Read], name: str) -> None:
    read = read_by_saelens[name]
    latents, reconstruction = dense_latents(read).relu(), read.saes.reconstruct(0, read.x)
    differences = [(read.latents - latents).abs().max(), (read.reconstruction - reconstruction).abs().max()]
    print(f"largest differences from SAELens: latents {differences[0]:.2g}, reconstruction {differences[1]:.2g}")
    assert max(differences) < 1e-5 and (latents > 0).any()
    expected = {"sae_lens_version": VERSION, "sae_lens_training_version": None, **ORIGIN.model_dump(exclude_none=True)}
    assert read.metadata == expected


def test_saelens_clips_what_is_refused(read_by_saelens: dict[str, Read], dense_file: Callable[..., Path]) -> None:
    read = read_by_saelens["negative"]
    with Vectors(dense_file(read.x.numpy())) as vectors:
        (share,) = negative_shares(vectors, read.saes)
    differing = (read.latents - dense_latents(read)).abs() > 1e-5
    assert share > 0.05 and differing.sum().item() == pytest.approx(share * len(read.x) * 30, abs=2)


@pytest.mark.parametrize("name", ["few", "clipped"])
def test_a_model_with_saelens_sae_spliced_in_has_the_same_loss(
    bridge: "TransformerBridge", read_by_saelens: dict[str, Read], name: str
) -> None:
    read = read_by_saelens[name]
    both = [partial(read.saes.reconstruct, 0), lambda _: read.reconstruction]
    found = damages(bridge, TOKENS, REPLACED, HOOK, read.x.mean(0), both)
    our, their = (damage.cross_entropy for damage in found.spliced)
    print(f"cross-entropy: intact {found.intact:.7f}, with our SAE {our:.7f}, with SAELens' {their:.7f}")
    assert abs(our - found.intact) > 1e-2 and their == pytest.approx(our, abs=1e-4)
