"""A whole experiment: everything that params.yaml can contain.

A module of this package that defines a `SourceSection` is a source, named after the module. The schema for editors and
docs/configuration.md are generated from these types (`python -m workflow.schema`).
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, create_model, model_validator

from mfr.config.base import Name, Positive, PositiveFloat, Section, Seed
from mfr.config.source import SourceSection
from mfr.runtime.errors import UserError

PACKAGE = __name__.rpartition(".")[0]
Kind = TypeVar("Kind", bound=SourceSection)


class Execution(Section):
    """How the stages run. A change here affects results only by rounding and reruns no stage."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device of SAEs and models; `auto` uses a GPU if there is one."
    )
    threads: Positive = Field(2, description="Threads per stage.")
    workers: Positive = Field(1, description="Processes that filter recordings in parallel.")
    progress_s: PositiveFloat | None = Field(
        None, description="Seconds between two progress lines in a log; `null` writes none. A terminal always shows progress."
    )
    checkpoint_s: PositiveFloat = Field(
        60.0, description="Seconds between two checkpoints of training, and at most between two of an activation dump."
    )
    checkpoint_steps: Positive | None = Field(None, description="Steps between two checkpoints, if that is sooner.")


class Experiment(Section):
    """Parameters that every experiment has, whatever its sources."""

    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        description="Seeds; one ensemble is trained per source, method and seed."
    )
    sources: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Sources to study. Each needs a section of its name, and no other source may have one."
    )
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Experiment":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {self.seeds} has a seed twice; list each once")
        return self

    @model_validator(mode="after")
    def _sources_have_sections(self) -> "Experiment":
        present = [name for name in SOURCES if getattr(self, name) is not None]
        if sorted(self.sources) != sorted(present):
            raise ValueError(
                f"sources lists {', '.join(self.sources)}, but the sections are {', '.join(present) or 'none'}; "
                "list the name of each section once, and no other"
            )
        return self

    def source(self, name: str) -> SourceSection:
        """Section of one source; raises `UserError` if the experiment has none."""
        section = getattr(self, name, None)
        if not isinstance(section, SourceSection):
            raise UserError(f"params.yaml: no section {name}; its sources are {', '.join(self.sources)}")
        return section

    def section(self, kind: type[Kind]) -> Kind:
        """Section of a known type, such as `Eeg`; raises `UserError` if the experiment has none."""
        section = self.source(_name(kind))
        assert isinstance(section, kind)
        return section


def _name(kind: type[SourceSection]) -> str:
    """Name of the source that a section defines: that of its module."""
    return kind.__module__.rpartition(".")[2]


def _sections() -> dict[str, type[SourceSection]]:
    """Section types of all sources, by name."""
    for module in iter_modules(import_module(PACKAGE).__path__):
        if module.name not in ("experiment", "load", "declared"):  # they need the sections
            import_module(f"{PACKAGE}.{module.name}")
    return {_name(kind): kind for kind in sorted(SourceSection.__subclasses__(), key=_name)}


def _first_line(kind: type[SourceSection]) -> str:
    return str(kind.__doc__).partition("\n")[0]


SECTIONS = _sections()
SOURCES = tuple(SECTIONS)

if TYPE_CHECKING:

    class Params(Experiment):
        """A whole experiment."""

else:
    Params = create_model(
        "Params",
        __doc__="A whole experiment.",
        __base__=Experiment,
        **{name: (kind | None, Field(None, description=_first_line(kind))) for name, kind in SECTIONS.items()},
    )
