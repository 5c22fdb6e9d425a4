import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mfr.runtime import paths
from mfr.saes.ensemble import Ensemble
from mfr.sources.language_model.model import ModelManifest
from mfr.sources.language_model.source import SOURCE
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from stages import export
from tests.support import small_training
from tests.support.small_project import SMOKE, fit_params

WORDS = ["--method", "baseline", "--seed", "0"]


def write_run(source: str, saes: Ensemble) -> None:
    small_training.write_run(paths.saes(source, "baseline", 0), saes, source=source)
    fit_params(source)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Held-out vectors (60, 8) of two sources, in a project of their own."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SMOKE)
    rows = np.random.default_rng(0).standard_normal((60, 8), dtype=np.float32)
    for source in ("language_model", "eeg"):
        place = paths.vectors(source, "heldout")
        place.parent.mkdir(parents=True)
        with VectorWriter(place, source, {"vectors": ((8,), "float32")}) as writer:
            writer.append(vectors=rows)
            if source == "language_model":
                writer.describe("hook", "blocks.1.hook_resid_post")
                writer.describe("model", ModelManifest(reference="gpt2", revision="abc").model_dump_json())
                writer.attach("tokens", np.zeros((5, 13), np.int32))
    return rows


def test_an_sae_that_keeps_negative_latents_is_refused_and_the_others_are_exported(rows: np.ndarray) -> None:
    saes = Ensemble.random([2, 16, 2], 20, 8, "topk", seed=0)
    write_run("language_model", saes)
    assert export.main(["--source", "language_model", *WORDS]) == 0
    folder = paths.export("language_model", "baseline", 0)
    assert {path.name for path in folder.iterdir()} == {"export.json", "sae_0_k2", "sae_2_k2"}
    first, refused, last = json.loads((folder / "export.json").read_text())
    assert first == {"sae": 0, "k": 2, "status": "exported", "negative_share": 0, "folder": "sae_0_k2"}
    assert last["folder"] == "sae_2_k2"
    kept = (torch.from_numpy(rows) @ saes.W[1].T).topk(16, dim=1).values
    share = (kept < 0).float().mean().item()
    assert refused["status"] == "refused" and refused["negative_share"] == pytest.approx(share) and share > 0.1
    assert "folder" not in refused and f"{100 * share:.2g} %" in refused["reason"]
    assert torch.equal(load_file(folder / "sae_2_k2" / "sae_weights.safetensors")["W_enc"], saes.W[2].T)
    assert json.loads((folder / "sae_2_k2" / "cfg.json").read_text())["metadata"] == {
        "sae_lens_version": "6.54.12",
        "sae_lens_training_version": None,
        "model_name": "gpt2",
        "model_revision": "abc",
        "hook_name": "blocks.1.hook_resid_post",
        "context_size": 13,
        "prepend_bos": True,
    }


@pytest.mark.parametrize("reference", [".", None])
def test_the_path_of_a_model_is_not_exported(tmp_path: Path, reference: str | None) -> None:
    with VectorWriter(tmp_path / "heldout.h5", "language_model", {"vectors": ((8,), "float32")}) as writer:
        writer.append(vectors=np.zeros((60, 8), np.float32))
        writer.describe("hook", "blocks.1.hook_resid_post")
        writer.describe("model", ModelManifest(reference=reference, weights_sha256="abc").model_dump_json())
        writer.attach("tokens", np.zeros((5, 13), np.int32))
    with Vectors(tmp_path / "heldout.h5") as vectors:
        origin = SOURCE.origin(vectors)
    assert (origin.model_name, origin.model_revision, origin.model_weights_sha256) == (None, None, "abc")


def test_clipped_saes_of_any_source_are_exported_and_take_the_place_of_earlier_ones(rows: np.ndarray) -> None:
    write_run("eeg", Ensemble.random([16, 2], 20, 8, "topk_relu", seed=0))
    folder = paths.export("eeg", "baseline", 0)
    (folder / "sae_7_k9").mkdir(parents=True)
    assert export.main(["--source", "eeg", *WORDS]) == 0
    assert {path.name for path in folder.iterdir()} == {"export.json", "sae_0_k16", "sae_1_k2"}
    assert "hook_name" not in json.loads((folder / "sae_0_k16" / "cfg.json").read_text())["metadata"]


def test_weights_for_other_vectors_and_missing_weights_are_one_line(
    rows: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run("eeg", Ensemble.random([2], 20, 7, "topk_relu", seed=0))
    assert export.main(["--source", "eeg", *WORDS]) == 1
    assert export.main(["--source", "language_model", *WORDS]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "vectors of size 8" in first and "baseline/0/saes.json: no such file" in second
    assert not Path("exports/eeg/baseline/0").exists()
