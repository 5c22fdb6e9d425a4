"""Which code a stage depends on: whole packages, found by following imports, so that both engines name the same folders.

What changes no result is no dependency: `mfr/runtime`, `stages/common.py` and `mfr/__init__.py`. A stage that asks its source
by name (`mfr.sources.source`) also depends on that source's package.
"""

import ast
from functools import cache
from pathlib import Path

SOURCES = Path("mfr/sources")
RUNTIME = Path("mfr/runtime")
ASKED_BY_NAME = SOURCES / "source.py"


def code_of(stage: str, source: str) -> list[str]:
    """The files on which a stage depends when it works on a source; paths relative to the project's folder."""
    files = [path for unit in units_of(stage, source) for path in (unit.rglob("*.py") if unit.is_dir() else [unit])]
    return sorted(map(str, files))


@cache
def units_of(stage: str, source: str) -> tuple[Path, ...]:
    """The packages, and single modules of `mfr/sources` and `stages`, on which a stage depends."""
    own = Path(f"stages/{stage}.py")
    found, waiting = {own}, [own]
    while waiting:
        unit = waiting.pop()
        imported = imports_of(unit) | ({SOURCES / source} if unit == ASKED_BY_NAME else set())
        waiting += imported - found
        found |= imported
    if ASKED_BY_NAME in found:
        found.update(path for path in SOURCES.glob("*.py") if path.name != "__init__.py")
    return tuple(sorted(found - {RUNTIME}))


@cache
def imports_of(unit: Path) -> frozenset[Path]:
    """The other units that the modules of a unit import."""
    modules = unit.rglob("*.py") if unit.is_dir() else [unit]
    found = {unit_of(name) for module in modules for name in _imported(module)}
    return frozenset(found - {unit, None})  # type: ignore[arg-type]


def unit_of(module: str) -> Path | None:
    """The unit of a dotted module of `mfr`, or of what it defines; None for other modules."""
    parts = module.split(".")
    if parts[0] != "mfr" or len(parts) < 2:
        return None
    if Path(*parts[:2]) != SOURCES:
        return Path(*parts[:2])
    unit = Path(*parts[:3])
    if len(parts) < 3:
        return None
    return unit if unit.is_dir() else unit.with_suffix(".py")


def _imported(module: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            # `from mfr.sources import manifest` names a module after the import.
            names += [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "mfr.sources" else [node.module]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names
