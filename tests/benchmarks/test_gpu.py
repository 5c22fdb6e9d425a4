import os
import subprocess
import sys
import time
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import pytest

from benchmarks.gpu import Report, Section, measure, table
from benchmarks.gpu_figures import SMALL, MatchingFigures, Sizes
from benchmarks.gpu_sections import TESTED
from tests.conftest import ROOT

# Two of the four shapes, which the same function measures, and one of the two whole trainings.
TRIED = ["machine", "tests", "S", "end to end", "XL", "activations", "matchings"]
FIGURES = MatchingFigures(hidden=4, size=2, first_s=0.5, next_s=0.25)


def script(wheels: Path, out: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "WHEELS": str(wheels), "OUT": str(out)}
    words = ["bash", str(ROOT / "benchmarks/gpu.sh"), "--small", "--only", *TRIED]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


def test_the_script_measures_at_small_sizes(tmp_path: Path) -> None:
    done = script(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json((tmp_path / "out/gpu.json").read_text())
    assert [own.section for own in report.sections] == TRIED
    assert len(report.tests) > 20 and {own.outcome for own in report.tests} <= {"passed", "skipped"}
    assert [(own.shape, own.precision) for own in report.steps] == [
        (shape, precision) for shape in ("S", "XL") for precision in ("float32", "tf32", "bfloat16")
    ]
    assert [own.refresh for own in report.end_to_end] == [50] and len(report.activations) == 1
    assert report.machine[0].cores >= 1 and len(report.matchings) == 2
    rows = [*report.steps, *report.end_to_end, *report.activations, *report.matchings]
    figures = [value for row in rows for _, value in row if isinstance(value, float)]
    assert len(figures) > 60 and all(isfinite(value) and value >= 0 for value in figures)
    assert all(own.dense_ms and own.step_over_gemm == pytest.approx(own.step_ms / own.gemm_ms) for own in report.steps)
    assert (tmp_path / "out/gpu.txt").read_text() == table(report)


def test_all_tests_that_need_a_gpu_lie_where_the_script_looks_for_them() -> None:
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "\n@needs_gpu\n" in path.read_text()]
    assert marked and all(any(path.is_relative_to(ROOT / folder) for folder in TESTED) for path in marked)


def test_a_section_that_fails_is_reported_with_its_error_and_first_figures_and_the_rest_goes_on() -> None:
    def fails(_: Sizes) -> Iterator[MatchingFigures]:
        yield FIGURES
        raise RuntimeError("out of luck")

    def works(_: Sizes) -> Iterator[MatchingFigures]:
        yield FIGURES

    report = measure(SMALL, {"one": Section("matchings", fails, 60), "other": Section("matchings", works, 60)})
    assert report.matchings == [FIGURES, FIGURES] and report.failed()
    first, second = report.sections
    assert first.error is not None and "RuntimeError: out of luck" in first.error and second.error is None
    assert "out of luck" in table(report)


def test_a_section_past_its_limit_is_stopped_with_its_children(tmp_path: Path) -> None:
    def hangs(_: Sizes) -> Iterator[MatchingFigures]:
        yield FIGURES
        print("waiting", flush=True)
        subprocess.run(["bash", "-c", f"sleep 3; touch {tmp_path}/late"])

    started = time.monotonic()
    report = measure(SMALL, {"one": Section("matchings", hangs, 2), "other": Section("matchings", hangs, 60)}, total_s=2.5)
    assert report.matchings[0] == FIGURES and report.sections[0].error == "stopped after 2 s; waiting"
    assert report.sections[1].error is not None and report.sections[1].seconds < 2
    time.sleep(max(0, started + 6 - time.monotonic()))
    assert not (tmp_path / "late").exists()


def test_wheels_that_would_hide_torch_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torch-2.11.0-cp312-none-any.whl").touch()
    done = script(tmp_path, tmp_path)
    assert done.returncode == 1 and "torch-2.11.0" in done.stderr and not (tmp_path / "gpu.json").exists()
