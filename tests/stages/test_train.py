"""The stages from training to comparison, on synthetic vectors that they make themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mfr.config.load import load
from mfr.config.synthetic import GenerateSynthetic
from mfr.config.training import Method
from mfr.runtime import paths
from mfr.saes.files import read_saes
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from stages import compare, describe, evaluate, generate_synthetic, train
from tests.conftest import ROOT
from tests.support.small_project import small_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with small_project(folder):
        assert generate_synthetic.main([]) == 0
        for method in ("baseline", "mfr", "reinit"):
            words = ["--source", "synthetic", "--method", method, "--seed", "0"]
            assert train.main(words) == 0 and evaluate.main(words) == 0
        assert compare.main(["--source", "synthetic"]) == 0
    return folder


@pytest.fixture(autouse=True)
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def test_training_leaves_weights_card_and_curves_and_no_checkpoint() -> None:
    weights = load_file(paths.saes("synthetic", "mfr", 0))
    assert weights["W"].shape == (2, 64, 32) and weights["b"].shape == (2, 64)
    card = json.loads(paths.saes_card("synthetic", "mfr", 0).read_text())
    assert card["size"] == 32 and card["method"]["penalty"]["matching"] == "hungarian" and card["train"]["k"] == [3, 3]
    curves = pd.read_csv(paths.curves("synthetic", "mfr", 0))
    assert curves["step"].max() == 60 and set(curves["sae"]) == {0, 1} and (curves["alpha"] > 0).all()
    assert not list(Path("scratch/checkpoints").glob("*"))


def test_training_lowers_the_loss() -> None:
    curves = pd.read_csv(paths.curves("synthetic", "baseline", 0))
    assert curves.groupby("step")["mse"].mean().iloc[-1] < 0.7 * curves.groupby("step")["mse"].mean().iloc[0]


def test_reinitialisations_are_on_the_card_and_in_the_curves() -> None:
    card = json.loads(paths.saes_card("synthetic", "reinit", 0).read_text())
    assert card["reinits"] == [1, 1]
    assert pd.read_csv(paths.curves("synthetic", "reinit", 0))["reinits"].max() == 1


def test_training_again_gives_the_same_bytes() -> None:
    before = paths.saes("synthetic", "mfr", 0).read_bytes()
    assert train.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 0
    assert paths.saes("synthetic", "mfr", 0).read_bytes() == before


def test_evaluation_agrees_with_the_weights_and_the_truth() -> None:
    evaluation = json.loads(paths.evaluation("synthetic", "mfr", 0).read_text())
    assert evaluation["rows"] == 1000 and len(evaluation["saes"]) == 2 and len(evaluation["pairs"]) == 1
    W = load_file(paths.saes("synthetic", "mfr", 0))["W"]
    similarity = torch.cosine_similarity(W[0][:, None], W[1][None], dim=2)
    assert evaluation["pairs"][0]["mmcs_max"] == pytest.approx(similarity.amax(dim=1).mean().item(), abs=1e-5)
    assert all(0 < sae["truth"]["mmcs_max"] <= 1 for sae in evaluation["saes"])


def test_saes_trained_on_scaled_inputs_are_written_for_vectors_as_they_are(tmp_path: Path) -> None:
    params, data = load(Path("params.yaml")), paths.vectors("synthetic", "train")
    settings = params.synthetic.train.model_copy(update={"inputs": "scaled"})
    outputs = train.Outputs(*(tmp_path / name for name in ("saes.safetensors", "saes.json", "curves.csv", "checkpoint")))
    train.run(data, settings, Method(), 0, outputs, params.execution)
    with Vectors(data) as vectors:
        x = torch.cat(list(vectors.sequential(1000)))
    saes, last = read_saes(outputs.saes, outputs.card), pd.read_csv(outputs.curves).tail(2)
    assert torch.allclose(saes.offset, x.mean(dim=0), atol=1e-6)
    assert json.loads(outputs.card.read_text())["scale"] == pytest.approx((x - x.mean(dim=0)).square().mean().sqrt().item())
    for i, mse in zip((0, 1), last["mse"], strict=True):
        assert (saes.reconstruct(i, x) - x).square().mean().item() == pytest.approx(mse, rel=0.2)


def test_the_table_of_latents_has_a_row_each() -> None:
    table = pd.read_csv(paths.features("synthetic", "baseline", 0))
    assert len(table) == 128 and table["frequency"].sum() == pytest.approx(6, rel=1e-4)
    assert {"across_hungarian", "truth_max", "mean_activation", "k"} <= set(table.columns)


def test_comparison_gathers_all_methods() -> None:
    metrics = json.loads(paths.metrics("synthetic").read_text())
    methods = metrics["synthetic"]
    assert {"baseline", "mfr", "reinit"} == set(methods) and set(methods["mfr"]) == {"mse", "recovered"}
    summary = pd.read_csv(paths.result("synthetic", "summary.csv")).set_index(["method", "group", "metric"])
    ratio = summary["mean"][("mfr", "k3", "mse")] / summary["mean"][("baseline", "k3", "mse")]
    assert summary["change"][("mfr", "k3", "mse")] == pytest.approx(100 * (ratio - 1), abs=1e-3)
    for name in ("learning_curves", "reconstruction", "similarity", "activity", "unevenness", "truth"):
        assert paths.result("synthetic", f"{name}.png").read_bytes().startswith(b"\x89PNG")
    tables = {name: pd.read_csv(paths.result("synthetic", f"{name}.csv")) for name in ("claims", "contests", "consistency")}
    assert {claim.split(":")[0] for claim in tables["claims"]["claim"]} == {"baseline", "mfr", "reinit"}
    assert set(tables["contests"]["versus"]) == {"baseline"} and set(tables["contests"]["method"]) == {"mfr", "reinit"}
    values = pd.read_csv(paths.result("synthetic", "values.csv")).set_index(["method", "seed", "group", "metric"])["value"]
    assert values[("mfr", 0, "k3", "mse")] == pytest.approx(methods["mfr"]["mse"], rel=1e-3)
    within = tables["consistency"].set_index(["method", "kind"])["pw_mcc"]
    assert within[("mfr", "within")] == pytest.approx(summary["mean"][("mfr", "ensemble", "mcc_hungarian")], abs=1e-4)
    latents = pd.read_csv(paths.result("synthetic", "latents.csv"))
    assert len(latents) == 3 * 2 * 64 and latents["truth_max"].between(-1, 1.001).all()


def test_early_rows_of_the_curves_show_whether_an_sae_should_restart() -> None:
    curves = pd.read_csv(paths.curves("synthetic", "baseline", 0))
    assert sorted(set(curves["step"])) == list(range(5, 65, 5))
    assert sorted(set(curves.dropna()["step"])) == [30, 60]
    features = pd.read_csv(paths.features("synthetic", "baseline", 0)).groupby("sae")
    last = curves[curves["step"] == 60].set_index("sae")
    assert last["across"].tolist() == pytest.approx(features["across_hungarian"].mean().tolist(), abs=1e-4)
    assert last["truth_mmcs"].tolist() == pytest.approx(features["truth_max"].mean().tolist(), abs=1e-4)


def test_an_unknown_method_and_missing_vectors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--source", "synthetic", "--method", "mrf", "--seed", "0"]) == 1
    assert train.main(["--source", "eeg", "--method", "mfr", "--seed", "0"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no such method" in lines[0] and "data/eeg/train.h5: no such file" in lines[1]


def test_missing_weights_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    weights = paths.saes("synthetic", "mfr", 0)
    kept = weights.rename(weights.with_suffix(".kept"))
    try:
        assert evaluate.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 1
    finally:
        kept.rename(weights)
    assert capsys.readouterr().err == f"error: {weights}: no such file; run train first\n"


def test_vectors_cut_short_leave_earlier_weights(capsys: pytest.CaptureFixture[str]) -> None:
    data, weights = paths.vectors("synthetic", "train"), paths.saes("synthetic", "baseline", 0)
    whole, before = data.read_bytes(), weights.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    try:
        assert train.main(["--source", "synthetic", "--method", "baseline", "--seed", "0"]) == 1
    finally:
        data.write_bytes(whole)
    assert "train.h5: cut short, with " in capsys.readouterr().err and weights.read_bytes() == before


def test_weights_for_vectors_of_another_size_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    heldout = paths.vectors("synthetic", "heldout")
    whole = heldout.read_bytes()
    with VectorWriter(heldout, "synthetic", {"vectors": ((7,), "float32")}) as writer:
        writer.append(vectors=torch.randn(20, 7).numpy())
    try:
        assert evaluate.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 1
    finally:
        heldout.write_bytes(whole)
    assert "vectors of size 7" in capsys.readouterr().err


def test_a_checkpoint_of_other_parameters_is_refused_and_one_of_the_same_vectors_made_again_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["--source", "synthetic", "--method", "mfr", "--seed", "0"]
    params, weights = Path("params.yaml"), paths.saes("synthetic", "mfr", 0)
    before, text = weights.read_bytes(), params.read_text()
    params.write_text(text.replace("checkpoint_s: 60.0", "checkpoint_s: 0.0001"))
    place = paths.checkpoint("synthetic", "mfr", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        assert train.main(words) == 0
    assert place.exists()
    generate_synthetic.main([])
    assert train.main(words) == 0
    assert "resuming at step 60" in capfd.readouterr().err and weights.read_bytes() == before and not place.exists()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        assert train.main(words) == 0
    params.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert train.main(words) == 0
    assert f"{place}: a checkpoint of other parameters, inputs or code; starting from step 0" in capfd.readouterr().err
    params.write_text(text)
    assert train.main(words) == 0 and weights.read_bytes() == before


def test_the_code_that_draws_vectors_is_loaded_before_a_run_is_identified(tmp_path: Path) -> None:
    """`code_in_use` sees only loaded modules: a run resumed after an edit of the generator would see other vectors."""
    settings = GenerateSynthetic(reading="one_group_k3", dimension=8, features=12, groups=2, train_rows=None, heldout_rows=5)
    generate_synthetic.run(settings, tmp_path / "train.h5", tmp_path / "heldout.h5")
    program = f"import sys, stages.train as train; train.Vectors({str(tmp_path / 'train.h5')!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "mfr.sources.synthetic.generator" in done.stdout.split()


def test_an_ensemble_of_other_settings_is_refused_by_every_stage_that_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    text = params.read_text()
    edited = text.replace("    steps: 60\n    learning_rate: 0.01\n", "    steps: 61\n    learning_rate: 0.01\n", 1)
    assert edited != text
    params.write_text(edited)
    try:
        assert evaluate.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 1
        assert describe.main(["--source", "synthetic"]) == compare.main(["--source", "synthetic"]) == 1
    finally:
        params.write_text(text)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(
        "saes.json: trained with train.steps = 60, but params.yaml gives 61" in line for line in lines
    )


def test_an_evaluation_of_another_run_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    own, other = (paths.evaluation("synthetic", method, 0) for method in ("mfr", "baseline"))
    whole = own.read_bytes()
    own.write_bytes(other.read_bytes())
    try:
        assert compare.main(["--source", "synthetic"]) == 1
    finally:
        own.write_bytes(whole)
    assert f"{own}: the evaluation of synthetic/baseline seed 0; run evaluate again" in capsys.readouterr().err
