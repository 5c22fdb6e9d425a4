from pathlib import Path

import pytest

from mfr.config.load import load
from mfr.config.synthetic import Synthetic
from mfr.runtime.errors import UserError
from mfr.saes.ensemble import Card
from mfr.saes.identity import check_card
from tests.support.small_project import small_project


@pytest.fixture
def section(tmp_path: Path):
    with small_project(tmp_path):
        yield load(Path("params.yaml")).section(Synthetic)


def write_card(section: Synthetic, **changes: object) -> Path:
    method = section.methods["mfr"]
    card = Card(source="synthetic", size=8, seed=0, train=method.applied_to(section.train), method=method)
    Path("saes.json").write_text(card.model_copy(update={"reinits": [1], **changes}).text())
    return Path("saes.json")


def test_a_card_of_these_settings_passes(section: Synthetic) -> None:
    check_card(write_card(section), "synthetic", section, "mfr", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"source": "eeg"}, "source = eeg, but params.yaml gives synthetic"),
        (lambda s: {"seed": 1}, "seed = 1, but params.yaml gives 0"),
        (lambda s: {"train": s.train.model_copy(update={"steps": 90})}, "train.steps = 90, but params.yaml gives 60"),
        (lambda s: {"method": s.methods["baseline"]}, "method.penalty = None, but params.yaml gives {'matching'"),
    ],
)
def test_the_first_setting_that_differs_is_named_with_both_values(section: Synthetic, change, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_card(write_card(section, **change(section)), "synthetic", section, "mfr", 0)
    assert str(caught.value).startswith(f"saes.json: trained with {message}") and "\n" not in str(caught.value)


def test_a_method_s_own_settings_are_those_of_its_training(section: Synthetic) -> None:
    faster = section.methods["mfr"].model_copy(update={"steps": 30})
    changed = section.model_copy(update={"methods": section.methods | {"mfr": faster}})
    check_card(write_card(changed), "synthetic", changed, "mfr", 0)
    with pytest.raises(UserError, match=r"train\.steps = 60, but params\.yaml gives 30"):
        check_card(write_card(section), "synthetic", changed, "mfr", 0)
