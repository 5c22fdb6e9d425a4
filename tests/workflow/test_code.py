"""The house: packages on floors, each importing only lower ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from workflow.code import unit_of

FLOORS = (
    {"runtime"},
    {"config", "compute"},
    {"sources"},
    {"vectors"},
    {"saes"},
    {"mutual"},
    {"training", "evaluation", "description", "denoising", "export"},
    {"comparison"},
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
NUMERICS = {"numpy", "torch", "scipy", "pandas", "numba", "h5py", "mne", "transformers"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def upward(folder: Path) -> list[str]:
    """Imports from one package of `mfr` to another that is not on a lower floor."""
    found = []
    for path in (folder / "mfr").glob("*/**/*.py"):
        own = path.relative_to(folder / "mfr").parts[0]
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("mfr.") else own
            if other != own and FLOOR[other] >= FLOOR[own]:
                found.append(f"{path.relative_to(folder)} imports {name}")
    return found


def test_packages_import_only_packages_of_lower_floors() -> None:
    assert {path.name for path in (ROOT / "mfr").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FLOOR)
    assert upward(ROOT) == []


def test_an_import_upward_is_seen(tmp_path: Path) -> None:
    (tmp_path / "mfr" / "saes").mkdir(parents=True)
    (tmp_path / "mfr" / "saes" / "step.py").write_text("def f():\n    from mfr.training import trainer\n")
    assert upward(tmp_path) == ["mfr/saes/step.py imports mfr.training.trainer"]


def test_imports_go_one_way_from_workflow_through_stages_to_the_library() -> None:
    for package, above in (
        ("mfr", ("stages", "workflow", "tests")),
        ("stages", ("workflow", "tests")),
        ("workflow", ("tests",)),
    ):
        for path in (ROOT / package).rglob("*.py"):
            assert not [name for name in imports(path) if name.split(".")[0] in above], path


def test_runtime_imports_no_numerics() -> None:
    modules = sorted(path.stem for path in (ROOT / "mfr" / "runtime").glob("*.py") if path.stem != "__init__")
    program = "; ".join(["import sys", *(f"import mfr.runtime.{name}" for name in modules), "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "mfr.runtime.resume" in done.stdout.split() and not NUMERICS & set(done.stdout.split())


def test_no_source_is_named_outside_its_own_modules() -> None:
    """A string with a source's name would be a question that the source itself should answer."""
    for path in [*(ROOT / "mfr").rglob("*.py"), *(ROOT / "stages").glob("*.py"), *(ROOT / "workflow").glob("*.py")]:
        own = {*path.relative_to(ROOT).with_suffix("").parts}
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        named = {"synthetic", "language_model", "eeg"} & {text for text in texts if isinstance(text, str)}
        assert named <= own | OF_STAGE.get(path.stem, set()), f"{path} names {named}"


# Stages of one source, and the map that is drawn of one.
OF_STAGE = {
    "generate_synthetic": {"synthetic"},
    "dump_activations": {"language_model"},
    "preprocess_eeg": {"eeg"},
    "denoise": {"eeg"},
    "map": {"synthetic"},
}


@pytest.mark.parametrize(
    ("module", "unit"),
    [
        ("mfr.saes.step", "mfr/saes"),
        ("mfr.sources.source", "mfr/sources/source.py"),
        ("mfr.sources.eeg.montage", "mfr/sources/eeg"),
        ("mfr.comparison.figures.eeg", "mfr/comparison"),
        ("numpy.random", None),
    ],
)
def test_a_unit_is_a_package_or_a_shared_module_of_sources(
    monkeypatch: pytest.MonkeyPatch, module: str, unit: str | None
) -> None:
    monkeypatch.chdir(ROOT)
    assert unit_of(module) == (unit and Path(unit))
