"""A whole experiment: what params.yaml may hold.

A module of this package that defines a `SourceSection` is a source, called as the module is. The schema for editors and
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
    """How the stages run; nothing here changes a result beyond rounding, or reruns a stage."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where SAEs and models run; `auto` takes a GPU where there is one."
    )
    threads: Positive = Field(2, description="Threads of one stage.")
    workers: Positive = Field(1, description="Recordings that are filtered side by side, each in a process of its own.")
    progress_s: PositiveFloat | None = Field(
        None, description="Seconds between two lines of progress in a log; `null` writes none. A terminal always shows them."
    )
    checkpoint_s: PositiveFloat = Field(
        60.0, description="Seconds between two checkpoints of a training run; a dump of activations saves at least as often."
    )
    checkpoint_steps: Positive | None = Field(None, description="Steps between two checkpoints, if these come sooner.")


class Experiment(Section):
    """What every experiment has, whatever its sources."""

    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(description="One ensemble is trained for each seed and method.")
    sources: Annotated[list[Name], Field(min_length=1)] = Field(
        description="The sources that are studied; each has a section of that name, and no other source has one."
    )
    execution: Execution = Execution()

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Experiment":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} holds one seed twice")
        return self

    @model_validator(mode="after")
    def _sources_have_sections(self) -> "Experiment":
        present = [name for name in SOURCES if getattr(self, name) is not None]
        if sorted(self.sources) != sorted(present):
            raise ValueError(
                f"sources lists {', '.join(self.sources)}, but the sections are {', '.join(present) or 'none'}: "
                "list each section's name once, and no other"
            )
        return self

    def source(self, name: str) -> SourceSection:
        """The section of one source; `UserError` if the experiment has none."""
        section = getattr(self, name, None)
        if not isinstance(section, SourceSection):
            raise UserError(f"params.yaml has no section {name}: its sources are {', '.join(self.sources)}")
        return section

    def section(self, kind: type[Kind]) -> Kind:
        """The section of a known type, such as `Eeg`; `UserError` if the experiment has none."""
        section = self.source(_name(kind))
        assert isinstance(section, kind)
        return section


def _name(kind: type[SourceSection]) -> str:
    return kind.__module__.rpartition(".")[2]


def _sections() -> dict[str, type[SourceSection]]:
    """The section of every source by its name."""
    for module in iter_modules(import_module(PACKAGE).__path__):
        if module.name not in ("experiment", "load"):  # these need the sections themselves
            import_module(f"{PACKAGE}.{module.name}")
    return {_name(kind): kind for kind in sorted(SourceSection.__subclasses__(), key=_name)}


_SECTIONS = _sections()
SOURCES = tuple(_SECTIONS)

if TYPE_CHECKING:

    class Params(Experiment):
        """A whole experiment."""

else:
    Params = create_model(
        "Params",
        __doc__="A whole experiment.",
        __base__=Experiment,
        **{name: (kind | None, None) for name, kind in _SECTIONS.items()},
    )
