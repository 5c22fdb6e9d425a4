from pathlib import Path

import pytest

from mfr.comparison.language_model import numbers
from mfr.comparison.runs import Run, Runs
from mfr.config.load import load
from mfr.evaluation.records import Evaluation, SaeMetrics
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Card
from tests.support.small_project import small_project

INTACT = {("baseline", 0): 4.0, ("baseline", 1): 4.002, ("mfr", 0): 4.0, ("mfr", 1): 4.001}
LOSSES = {("baseline", 0): 4.5, ("baseline", 1): 4.7, ("mfr", 0): 4.2, ("mfr", 1): 4.4}


def written_runs(intact: dict[tuple[str, int], float]) -> Runs:
    section = load(Path("params.yaml")).source("language_model")
    for (method, seed), loss in intact.items():
        own = {"cross_entropy": LOSSES[method, seed]}
        sae = SaeMetrics(k=4, mse=1, l2_squared=1, fvu=1, l0=4, dead=0, unevenness=0, own=own)
        of_source = {"intact": loss, "zero": 8.0, "mean": 7.0}
        evaluation = Evaluation(source="language_model", method=method, seed=seed, rows=9, saes=[sae], pairs=[], own=of_source)
        path = paths.evaluation("language_model", method, seed)
        path.parent.mkdir(parents=True)
        path.write_text(evaluation.text(exclude_none=True))
        card = Card(source="language_model", size=1, seed=seed, train=section.train, method=section.methods[method])
        paths.saes_card("language_model", method, seed).write_text(card.text())
    return Runs("language_model", section, [Run("language_model", *run) for run in intact])


def test_what_a_method_adds_is_measured_from_its_own_runs(tmp_path: Path) -> None:
    with small_project(tmp_path):
        found = numbers(written_runs(INTACT))
    assert found.of_methods["baseline"]["excess_ce"] == pytest.approx((0.5 + 0.698) / 2)
    assert found.of_methods["mfr"]["excess_ce"] == pytest.approx((0.2 + 0.399) / 2)
    assert found.of_source == pytest.approx({"ce_intact": (4 + 4.002 + 4 + 4.001) / 4, "ce_zeroed": 8})


def test_runs_evaluated_with_another_model_are_named(tmp_path: Path) -> None:
    with small_project(tmp_path), pytest.raises(UserError) as caught:
        numbers(written_runs(INTACT | {("mfr", 0): 3.5}))
    assert "runs/language_model/mfr/0/evaluation.json" in str(caught.value) and "3.5, but 4.002" in str(caught.value)
    assert "runs/language_model/baseline/1/evaluation.json" in str(caught.value)
