"""Compose an experiment into params.yaml: `python -m workflow.experiment NAME`, or without a name a list of them.

params/default.yaml is a whole experiment. Each other file of params/ is an overlay that says only what differs. Its mappings
are merged into the default's, except `methods`, which replaces the default's. A source that is not in `sources` loses its
section.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from mfr.config.experiment import SOURCES
from mfr.config.load import check, content, text_of
from mfr.runtime.command import status_of
from mfr.runtime.errors import UserError
from mfr.runtime.files import write_whole

FOLDER, DEFAULT, CURRENT = Path("params"), "default", Path("params.yaml")
SCHEMA = "# yaml-language-server: $schema=workflow/schemas/params.schema.json\n"
REPLACED = ("methods",)


def names(folder: Path = FOLDER) -> list[str]:
    """The experiments that can be composed."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def compose(name: str, folder: Path = FOLDER) -> str:
    """The text of params.yaml for an experiment; `UserError` for an unknown name, or one that makes no valid experiment."""
    if name not in names(folder):
        raise UserError(f"params/{name}.yaml: no such file; experiments are {', '.join(names(folder))}")
    yaml = YAML()
    yaml.width = 4096  # no line is broken
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null"))
    experiment = _section(yaml, folder / f"{DEFAULT}.yaml")
    if name != DEFAULT:
        _merge(experiment, _section(yaml, folder / f"{name}.yaml"))
    for source in SOURCES:
        if isinstance(kept := experiment.get("sources"), list) and source not in kept:
            experiment.pop(source, None)
    composed = StringIO()
    yaml.dump(experiment, composed)
    purpose = "".join(f"# {line}\n" for line in purpose_of(name, folder))
    text = f"{SCHEMA}{purpose}{_spaced(composed.getvalue())}"
    check(content(text, f"params/{name}.yaml"), f"params/{name}.yaml")
    return text


def _section(yaml: YAML, path: Path) -> CommentedMap:
    """Content of a file with its comments; raises `UserError` for what the strict reader refuses."""
    text = text_of(path)
    if not isinstance(content(text, str(path)) or {}, dict):
        raise UserError(f"{path}: contains no parameters by name; write lines such as `seeds: [0]`")
    return yaml.load(text) or CommentedMap()


def _spaced(text: str) -> str:
    """Without the comment at the top, and with empty lines only between sections."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "".join(f"\n{line}\n" if line[0] != " " and line.endswith(":") else f"{line}\n" for line in lines)


def purpose_of(name: str, folder: Path = FOLDER) -> list[str]:
    """What an experiment is for: the comment that opens its file."""
    lines = (folder / f"{name}.yaml").read_text().splitlines()
    return [line.removeprefix("# ") for line in _opening(lines) if "yaml-language-server" not in line]


def _opening(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def _merge(base: CommentedMap, overlay: CommentedMap) -> None:
    for key, value in overlay.items():
        if isinstance(value, CommentedMap) and isinstance(base.get(key), CommentedMap) and key not in REPLACED:
            _merge(base[key], value)
        else:
            base[key] = value
        if comment := overlay.ca.items.get(key):
            base.ca.items[key] = comment


def write(name: str, force: bool) -> None:
    """Write params.yaml and show what changes; `UserError` if that would lose an edited file and `force` is not set."""
    text = compose(name)
    current = CURRENT.read_text() if CURRENT.is_file() else ""
    if current and not force and all(compose(known) != current for known in names()):
        raise UserError(f"{CURRENT} was edited, and is none of {', '.join(names())}: keep a copy, then give --force")
    changes = difflib.unified_diff(current.splitlines(), text.splitlines(), str(CURRENT), name, lineterm="", n=1)
    write_whole(CURRENT, text.encode())
    print("\n".join(changes) or f"{CURRENT} is {name} already")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workflow.experiment", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", help="a file of params/, without its ending")
    parser.add_argument("--force", action="store_true", help="overwrite an edited params.yaml")
    arguments = parser.parse_args(argv)
    return status_of(lambda: write(arguments.name, arguments.force) if arguments.name else list_all())


def list_all() -> None:
    """Print the name and the purpose of every experiment."""
    print("\n".join(f"{name:<24} {' '.join(purpose_of(name))}" for name in names()))


if __name__ == "__main__":
    sys.exit(main())
