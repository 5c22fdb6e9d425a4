import pytest

from mfr.config.experiment import SOURCES
from mfr.runtime.errors import UserError
from mfr.sources.source import source


def test_every_section_has_its_source() -> None:
    assert [type(source(name)).__module__ for name in SOURCES] == [f"mfr.sources.{name}.source" for name in SOURCES]


@pytest.mark.parametrize("name", ["nothing", "", "manifest", "../eeg"])
def test_an_unknown_source_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="the sources are eeg, language_model, synthetic"):
        source(name)
