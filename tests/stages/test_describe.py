import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mfr.config.experiment import Execution
from mfr.config.language_model import DumpActivations, TrainedHere
from mfr.config.language_model import Text as TextSection
from mfr.config.load import check
from mfr.config.source import SourceSection
from mfr.description.text import Text
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Ensemble
from mfr.saes.files import read_saes
from mfr.sources.language_model.gpt2 import new_model, train_tokenizer
from mfr.sources.language_model.model import load, prepared, trained_here
from mfr.sources.manifest import MANIFEST
from mfr.vectors.reader import Vectors
from mfr.vectors.writer import VectorWriter
from stages import describe, dump_activations, evaluate
from tests.support.small_project import SMOKE, fit_params
from tests.support.small_training import write_run

EXECUTION = Execution(device="cpu", threads=1)
HIDDEN, K, WIDTH = 12, [2, 3], 16
RUNS = [("baseline", 0), ("baseline", 1), ("mfr", 0)]
FILES = ["a/a.edf", "b/b.edf", "b/c.edf"]
TEXTS = [f"text number {i} holds some words and some more words about {i * i}" for i in range(60)]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_runs(source: str, size: int) -> None:
    """Ensembles as train and evaluate leave them, with random weights."""
    for number, (method, seed) in enumerate(RUNS):
        saes = Ensemble.random(K, HIDDEN, size, "topk", number)
        saes.b[:, 0] = -1000
        write_run(paths.saes(source, method, seed), saes, seed)
        evaluate_run(source, method, seed)


def evaluate_run(source: str, method: str, seed: int) -> None:
    trained = evaluate.Trained(paths.saes(source, method, seed), paths.saes_card(source, method, seed))
    outputs = evaluate.Outputs(*(place(source, method, seed) for place in (paths.evaluation, paths.features, paths.activity)))
    evaluate.run(trained, paths.vectors(source, "heldout"), method, section(source), outputs, EXECUTION)


def write_recordings(size: int) -> None:
    random = np.random.default_rng(0)
    heldout = paths.vectors("eeg", "heldout")
    heldout.parent.mkdir(parents=True, exist_ok=True)
    columns = {"vectors": ((size,), "float32"), "recording": ((), "int32"), "start_s": ((), "float32")}
    with VectorWriter(heldout, "eeg", columns) as writer:
        start_s = np.arange(90, dtype=np.float32) / 4
        vectors = random.standard_normal((90, size), dtype=np.float32)
        writer.append(vectors=vectors, recording=random.integers(0, 3, 90), start_s=start_s)
        writer.describe("files", json.dumps(FILES))


def section(source: str) -> SourceSection:
    params = yaml.safe_load(SMOKE)
    params["language_model"]["evaluate"] = {"sequences": 3}
    return check(params, "params.yaml").source(source)


def table_of(source: str, method: str, seed: int) -> pd.DataFrame:
    return pd.read_parquet(paths.description(source, method, seed))


def test_windows_are_named_by_recording_and_start_and_partners_by_sae_and_seed() -> None:
    write_recordings(8)
    write_runs("eeg", 8)
    describe.run("eeg", section("eeg"), RUNS, EXECUTION)
    table = table_of("eeg", "baseline", 1)
    assert list(table["sae"]) == [0] * HIDDEN + [1] * HIDDEN and set(table["k"]) == {2, 3}
    with Vectors(paths.vectors("eeg", "heldout")) as vectors:
        recording, x = vectors.attached("recording"), vectors.read(0, 90)
    saes = [read_saes(paths.saes("eeg", *run), paths.saes_card("eeg", *run)) for run in RUNS]
    for row in table.itertuples():
        assert row.top_recordings.tolist() == [FILES[recording[number]] for number in row.top_rows]
        assert row.top_starts_s.tolist() == [number / 4 for number in row.top_rows]
        assert len(row.top_rows) == min(10, round(row.frequency * 90))
        feature = saes[1].W[row.sae, row.latent]
        assert row.top_values == pytest.approx(
            (x[row.top_rows.tolist()] @ feature).numpy() + saes[1].b[row.sae, row.latent].item()
        )
        for column, other in (
            (f"sae_{1 - row.sae}", saes[1].W[1 - row.sae]),
            ("seed_0", saes[0].W[row.sae]),
        ):
            similarity = torch.cosine_similarity(feature[None], other)
            assert getattr(row, f"partner_{column}") == similarity.argmax()
            assert getattr(row, f"cosine_{column}") == pytest.approx(similarity.max().item(), abs=1e-5)
    own = table[table["sae"] == 0]
    assert own["partner_sae_0"].isna().all() and own["partner_sae_1"].notna().all()
    assert not {"partner_seed_1", "top_contexts", "promoted_tokens"} & set(table)
    assert not [column for column in table_of("eeg", "mfr", 0) if "seed" in column]
    dead = table.iloc[0]
    assert dead["frequency"] == 0 and np.isnan(dead["max_activation"]) and len(dead["top_recordings"]) == 0
    before = {path: path.read_bytes() for path in Path("features").rglob("*.parquet")}
    describe.run("eeg", section("eeg"), RUNS, EXECUTION)
    assert len(before) == 3 and all(path.read_bytes() == content for path, content in before.items())


def test_weights_of_other_vectors_are_refused_and_earlier_tables_stay(capsys: pytest.CaptureFixture[str]) -> None:
    write_recordings(8)
    write_runs("eeg", 8)
    Path("runs/eeg/baseline/1/saes.json").unlink()
    Path("params.yaml").write_text(SMOKE)
    fit_params("eeg")
    assert describe.main(["--source", "eeg"]) == 0
    before = paths.description("eeg", "mfr", 0).read_bytes()
    write_recordings(9)
    assert describe.main(["--source", "eeg"]) == 1
    error = capsys.readouterr().err
    assert "baseline/0/evaluation.json: of other held-out vectors than data/eeg/heldout.h5; run evaluate again" in error
    assert error.count("\n") == 1
    assert paths.description("eeg", "mfr", 0).read_bytes() == before
    assert [path.name for path in Path("features").iterdir()] == ["eeg"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (paths.activity, "mfr/0/activity.parquet: not the file that .*evaluation.json describes: .*; run evaluate again"),
        (paths.evaluation, "mfr/0/evaluation.json: the evaluation of eeg/baseline seed 0; run evaluate again"),
        (paths.saes_card, "mfr/0/saes.safetensors: not the file that .*saes.json describes: .*; run train again"),
    ],
)
def test_files_of_another_run_are_refused(place: Callable[[str, str, int], Path], message: str) -> None:
    write_recordings(8)
    write_runs("eeg", 8)
    shutil.copy(place("eeg", "baseline", 0), place("eeg", "mfr", 0))
    with pytest.raises(UserError, match=message):
        describe.run("eeg", section("eeg"), RUNS, EXECUTION)
    assert not Path("features").exists()


@pytest.fixture
def language_model() -> None:
    tokenizer = train_tokenizer(TEXTS, 512)
    shape = TrainedHere(layers=1, width=WIDTH, heads=2, vocabulary=512, context=12, steps=1)
    new_model(shape, tokenizer).save_pretrained(paths.MODEL)
    tokenizer.save_pretrained(paths.MODEL)
    (paths.MODEL / MANIFEST).write_text(trained_here(paths.MODEL).text())
    Path("texts").mkdir()
    for number, text in enumerate(TEXTS):
        Path(f"texts/{number}.txt").write_text(text)
    dump = DumpActivations(context=12, train_tokens=30, heldout_tokens=200, batch=4, dtype="float32")
    outputs = [paths.vectors("language_model", split) for split in ("train", "heldout")]
    dump_activations.run(prepared(paths.MODEL), TextSection(text="texts", heldout_share=0.5), dump, EXECUTION, *outputs)


def test_tokens_are_marked_in_their_contexts_and_promoted_ones_listed(language_model: None) -> None:
    write_runs("language_model", WIDTH)
    describe.run("language_model", section("language_model"), RUNS, EXECUTION)
    model = load(prepared(paths.MODEL), torch.device("cpu"))
    table = table_of("language_model", "mfr", 0)
    with Vectors(paths.vectors("language_model", "heldout")) as vectors:
        token_ids = vectors.attached("token_ids")
    marked = table.explode(["top_rows", "top_contexts", "top_values"]).dropna(subset="top_rows")
    assert len(marked) > 50
    for row in marked.itertuples():
        assert f"«{model.tokenizer.decode(token_ids[row.top_rows])}»" in row.top_contexts
    assert (table["promoted_tokens"].map(len) == 10).all()
    assert all(np.all(np.diff(logits) <= 0) and logits[0] > 0 for logits in table["promoted_logits"])

    with Vectors(paths.vectors("language_model", "heldout")) as vectors:
        elsewhere = Text(vectors, model).of_features(torch.ones(HIDDEN, WIDTH + 1), 10)
    assert elsewhere == {"promoted_tokens": None, "promoted_logits": None}
