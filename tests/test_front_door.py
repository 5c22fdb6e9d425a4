"""`import mfr` as somebody else's program has it: in another folder, only with the package on the path."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mfr
from mfr.export.saelens import write_sae
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.sources.source import Origin
from tests.conftest import ROOT
from tests.support import small_training


def write_run(folder: Path, saes: Ensemble) -> Path:
    small_training.write_run(folder / "saes.safetensors", saes, seed=3)
    return folder


@pytest.fixture
def saes() -> Ensemble:
    saes = Ensemble.random([2, 5], 20, 8, "topk_relu", seed=1)
    saes.b += torch.randn(saes.b.shape, generator=torch.Generator().manual_seed(0))
    saes.offset += 0.5
    return saes


def test_a_run_is_loaded_with_its_card_and_encodes_and_decodes(tmp_path: Path, saes: Ensemble) -> None:
    loaded = mfr.load(str(write_run(tmp_path / "runs" / "eeg" / "mfr" / "3", saes)))
    x = torch.randn(7, 8)
    for sae in (0, 1):
        assert torch.equal(loaded.reconstruct(sae, x), saes.reconstruct(sae, x))
        assert torch.equal(loaded.decode(sae, *loaded.encode(sae, x)), saes.reconstruct(sae, x))
    assert loaded.card is not None and (loaded.card.seed, loaded.card.train.k) == (3, [2, 5])


def test_one_exported_sae_is_loaded_only(tmp_path: Path, saes: Ensemble) -> None:
    write_sae(tmp_path / "sae_1_k5", saes, 1, Origin())
    loaded, x = mfr.load(tmp_path / "sae_1_k5"), torch.randn(7, 8)
    assert loaded.k == [5] and torch.allclose(loaded.reconstruct(0, x), saes.reconstruct(1, x), atol=1e-6)


def test_a_folder_without_saes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no SAEs"):
        mfr.load(tmp_path)


def test_an_export_of_another_kind_is_refused(tmp_path: Path, saes: Ensemble) -> None:
    write_sae(tmp_path / "sae", saes, 0, Origin())
    config = (tmp_path / "sae" / "cfg.json").read_text()
    (tmp_path / "sae" / "cfg.json").write_text(config.replace('"topk"', '"jumprelu"'))
    with pytest.raises(UserError, match="not a tied TopK SAE"):
        mfr.load(tmp_path / "sae")


def test_outside_the_checkout_names_are_imported_when_they_are_used(tmp_path: Path, saes: Ensemble) -> None:
    write_run(tmp_path / "run", saes)
    program = """
import sys
import mfr
assert "torch" not in sys.modules and not [name for name in sys.modules if name.startswith("mfr.")], sys.modules
assert {"Ensemble", "Params", "Vectors", "load"} <= set(dir(mfr)) and mfr.__version__
saes = mfr.load("run")
assert isinstance(saes, mfr.Ensemble) and "mfr.training" not in sys.modules
assert mfr.Vectors.__name__ == "Vectors" and "sources" in mfr.Params.model_fields
try:
    mfr.nothing
except AttributeError as error:
    print(error)
"""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "module 'mfr' has no attribute 'nothing'\n"), done.stderr
