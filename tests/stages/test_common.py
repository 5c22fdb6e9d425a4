import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from mfr.config.experiment import Params
from mfr.config.load import check
from mfr.runtime.errors import UserError
from mfr.runtime.files import writing
from stages import train
from stages.common import call, find_method, stage_parser
from tests.conftest import ROOT
from tests.support.small_project import SMOKE


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def arguments() -> argparse.Namespace:
    Path("smoke.yaml").write_text(SMOKE)
    return stage_parser("stages.x", "A stage.").parse_args(["--params", "smoke.yaml"])


def test_a_user_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    def stage(_: argparse.Namespace, params: Params) -> None:
        raise UserError("file.h5: row 3 is wrong: mend it")

    assert call(stage, arguments()) == 1
    assert capsys.readouterr().err == "error: file.h5: row 3 is wrong: mend it\n"


def test_a_missing_input_is_one_line_that_names_it_and_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    weights = Path("runs/eeg/mfr/0/saes.safetensors")
    assert call(lambda *_: weights.read_text(), arguments()) == 1
    assert capsys.readouterr().err == f"error: {weights}: no such file; run train first\n"


def test_a_missing_file_that_the_error_does_not_name_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(lambda *_: load_file("nowhere"), arguments()) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "No such file or directory: nowhere" in error and error.count("\n") == 1


def test_a_stage_outside_the_project_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text(SMOKE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    words = ["--source", "synthetic", "--method", "mfr", "--seed", "0", "--params", str(tmp_path / "params.yaml")]
    assert train.main(words) == 1
    assert capsys.readouterr().err == f"error: params.yaml: no such file in {elsewhere}; run from the project's folder\n"
    assert not list(elsewhere.iterdir())


def test_a_stage_without_its_input_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text(SMOKE)
    assert train.main(["--source", "synthetic", "--method", "mfr", "--seed", "0"]) == 1
    assert "data/synthetic/train.h5: no such file" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_an_interrupted_stage_leaves_earlier_outputs_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output = Path("out.csv")
    output.write_text("earlier")

    def stage(_: argparse.Namespace, params: Params) -> None:
        with writing(output) as [part]:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGINT)

    assert call(stage, arguments()) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "stopped by SIGINT: no output is half-written; run the stage again\n"
    assert output.read_text() == "earlier"


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    def stage(_: argparse.Namespace, params: Params) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(stage, arguments())


def test_a_limit_on_files_is_one_line_and_leaves_earlier_results() -> None:
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from stages.generate_synthetic import main\n"
        "sys.exit(main())"
    )
    Path("params.yaml").write_text(SMOKE)
    earlier = Path("data/synthetic/train.h5")
    earlier.parent.mkdir(parents=True)
    earlier.write_text("earlier")
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    # The first file that is too large may be one of numba's cache.
    assert "data/synthetic" in done.stderr and ": larger than the disk's file system or `ulimit -f` allows; " in done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert earlier.read_text() == "earlier" and list(earlier.parent.iterdir()) == [earlier]


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    section = check(yaml.safe_load(SMOKE), "params.yaml").source("eeg")
    assert find_method(section, "mfr").penalty is not None
    with pytest.raises(UserError, match=r"--method mrf: no such method; params.yaml has baseline, mfr"):
        find_method(section, "mrf")


STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if "def main(" in path.read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_explains_itself(stage: str) -> None:
    done = subprocess.run([sys.executable, "-m", f"stages.{stage}", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and f"python -m stages.{stage}" in done.stdout and "--params" in done.stdout
