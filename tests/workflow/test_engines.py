"""Both engines on params/smoke.yaml, from end to end and in turn."""

import json
import re
from pathlib import Path

import pytest

from tests.support.project import clone, commit, dvc_repro, edit, run, snakemake, stage_commands

MFR_OF_SYNTHETIC = {
    "python -m stages.train --source synthetic --method mfr --seed 0",
    "python -m stages.evaluate --source synthetic --method mfr --seed 0",
    "python -m stages.describe --source synthetic",
    "python -m stages.compare --source synthetic",
}
FACTOR = "penalty: {matching: hungarian, alpha: balanced, alpha_factor: %s, warmup: 10, refresh: 10}\n    reinit:"

BASELINE_ALONE = "versus: {}\n  train:\n    hidden: 64\n    k: [3, 3]"
MFR_AGAINST_REINIT = BASELINE_ALONE.replace("{}", "{mfr: reinit}")
GOOD_CHANNELS, BAD_CHANNELS = "channels: [C3, C4, O1, O2]", "channels: [C3, C99]"


def change_weight(folder: Path, old: str, new: str) -> None:
    edit(folder, "params.yaml", FACTOR % old, FACTOR % new)


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("snakemake"))
    # Nothing restarts, and what `reinit` leaves is what `baseline` does: DVC's cache holds it once.
    edit(folder, "params.yaml", "threshold: 0.2", "threshold: 2.0")
    commands = snakemake(folder)
    assert len(commands) == 29
    return folder


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("dvc"))
    assert len(dvc_repro(folder)) == 29
    return folder


def test_snakemake_first(by_snakemake: Path) -> None:
    folder = by_snakemake
    assert snakemake(folder, "--dry-run") == set()
    run(folder, "dvc", "status", "--quiet", fails=True)
    assert "DVC now knows" in run(folder, "python", "-m", "workflow.sync")
    run(folder, "dvc", "status", "--quiet")
    assert dvc_repro(folder) == set()
    assert "both engines are up to date" in run(folder, "python", "-m", "workflow.sync")
    commit(folder)

    # What methods are set against changes no SAE.
    edit(folder, "params.yaml", BASELINE_ALONE, MFR_AGAINST_REINIT)
    assert snakemake(folder, "--dry-run") == {"python -m stages.compare --source synthetic"}
    edit(folder, "params.yaml", MFR_AGAINST_REINIT, BASELINE_ALONE)

    change_weight(folder, "0.1", "0.4")
    assert snakemake(folder, "--dry-run") == MFR_OF_SYNTHETIC
    # Nothing ran: to commit or to touch would declare stale results fresh.
    lock = (folder / "dvc.lock").read_text()
    assert "neither engine is up to date" in run(folder, "python", "-m", "workflow.sync", fails=True)
    assert (folder / "dvc.lock").read_text() == lock and snakemake(folder, "--dry-run") == MFR_OF_SYNTHETIC

    # One source by itself, while another is out of date.
    edit(folder, "params.yaml", "low_hz: 0.5", "low_hz: 0.6")
    output = run(folder, "python", "-m", "workflow.run", "synthetic", "--cores", "2")
    jobs = re.findall(r"^\[(\d)/5\] (\w+ \S+).* · \d+ s · .", output, re.MULTILINE)
    assert sorted(number for number, _ in jobs) == ["1", "2", "3", "4"]
    assert {job for _, job in jobs} == {
        *(f"{stage} synthetic/mfr" for stage in ("train", "evaluate")),
        *(f"{stage} synthetic" for stage in ("describe", "compare")),
    }
    assert "synthetic: your results (not committed)" in output
    assert "neither engine is up to date" in run(folder, "python", "-m", "workflow.sync", "eeg", fails=True)
    assert "DVC now knows" in run(folder, "python", "-m", "workflow.sync", "synthetic")
    edit(folder, "params.yaml", "low_hz: 0.6", "low_hz: 0.5")
    assert dvc_repro(folder) == set()
    changed = {row["key"] for row in _metrics_diff(folder) if row["old"] != row["new"]}
    assert "synthetic.mfr.mse" in changed and {key.split(".")[1] for key in changed} == {"mfr"}
    assert "0.4" in run(folder, "dvc", "params", "diff")


def test_no_engine_vouches_for_files_of_other_parameters(by_snakemake: Path) -> None:
    folder = by_snakemake
    change_weight(folder, "0.4", "0.6")
    # Snakemake takes its user's word that the files are up to date; the card says otherwise.
    run(folder, "snakemake", "--cores", "1", "--touch", "--forceall", "synthetic")
    assert snakemake(folder, "--dry-run", "synthetic") == set()
    output = run(folder, "python", "-m", "workflow.sync", "synthetic", fails=True)
    card = "runs/synthetic/mfr/0/saes.json: trained with method.penalty.alpha_factor = 0.4, but params.yaml gives 0.6"
    assert output.startswith(f"error: {card}") and output.count("\n") == 1
    change_weight(folder, "0.6", "0.4")
    run(folder, "snakemake", "--cores", "1", "--touch", "--forceall", "synthetic")
    assert "both engines are up to date" in run(folder, "python", "-m", "workflow.sync", "synthetic")


def test_dvc_first(by_dvc: Path) -> None:
    folder = by_dvc
    run(folder, "dvc", "status", "--quiet")
    # Snakemake has no record of these files and would take them for fresh whatever the parameters are.
    change_weight(folder, "0.1", "0.4")
    assert snakemake(folder, "--dry-run") == set()
    assert "neither engine is up to date" in run(folder, "python", "-m", "workflow.sync", fails=True)
    change_weight(folder, "0.4", "0.1")
    assert "Snakemake now knows" in run(folder, "python", "-m", "workflow.sync")
    assert snakemake(folder, "--dry-run") == set()
    run(folder, "dvc", "status", "--quiet")
    commit(folder)

    change_weight(folder, "0.1", "0.4")
    assert dvc_repro(folder) == MFR_OF_SYNTHETIC
    assert snakemake(folder, "--dry-run") == MFR_OF_SYNTHETIC
    run(folder, "python", "-m", "workflow.sync")
    assert snakemake(folder, "--dry-run") == set()
    assert {row["key"] for row in _metrics_diff(folder) if row["old"] != row["new"]} >= {"synthetic.mfr.mse"}
    # The touched state still sees the next change.
    change_weight(folder, "0.4", "0.5")
    assert snakemake(folder, "--dry-run") == MFR_OF_SYNTHETIC

    # Results of another weight lie where Snakemake's record says those of this one are.
    assert dvc_repro(folder) == MFR_OF_SYNTHETIC
    change_weight(folder, "0.5", "0.4")
    assert snakemake(folder, "--dry-run") == set()
    assert "neither engine is up to date" in run(folder, "python", "-m", "workflow.sync", fails=True)
    run(folder, "dvc", "repro")
    run(folder, "python", "-m", "workflow.sync")


TRAINED = {
    f"python -m stages.{stage} --source {source} --method {method} --seed 0"
    for stage in ("train", "evaluate")
    for source, methods in {
        "synthetic": ("baseline", "mfr", "reinit"),
        "language_model": ("baseline", "mfr"),
        "eeg": ("baseline", "mfr"),
    }.items()
    for method in methods
}


MADE = {"generate_synthetic", "prepare_model", "dump_activations", "prepare_recordings", "preprocess_eeg"}


def test_code_reruns_the_stages_that_import_its_package_in_both_engines(by_snakemake: Path, by_dvc: Path) -> None:
    would_run = {
        by_snakemake: lambda: snakemake(by_snakemake, "--dry-run"),
        by_dvc: lambda: stage_commands(run(by_dvc, "dvc", "repro", "--dry", "--force-downstream")),
    }
    for folder, stale in would_run.items():
        progress, trainer = (folder / "mfr" / name for name in ("runtime/progress.py", "training/trainer.py"))
        plain = trainer.read_text()
        progress.write_text(progress.read_text() + "\n# Another comment.\n")
        assert stale() == set()
        trainer.write_text(plain + "\n# Another comment.\n")
        assert stale() >= TRAINED and not {command for command in stale() if command.split(".")[1].split()[0] in MADE}
        trainer.write_text(plain)
        assert stale() == set()


def test_both_engines_make_the_same_numbers(by_snakemake: Path, by_dvc: Path) -> None:
    for source in ("language_model", "eeg"):
        first, second = (json.loads((folder / "metrics" / f"{source}.json").read_text()) for folder in (by_snakemake, by_dvc))
        assert first == second


def test_reports_of_both_engines(by_snakemake: Path) -> None:
    run(by_snakemake, "snakemake", "--report", "report.html")
    report = (by_snakemake / "report.html").read_text()
    assert all(name in report for name in ("learning_curves.png", "density.png", "similarity.png", "loss_recovered.png"))
    run(by_snakemake, "dvc", "plots", "diff", "HEAD")
    page = (by_snakemake / "dvc_plots" / "index.html").read_text()
    assert '"field": "method"' in page and '"type": "log"' in page and '"method": "reinit"' in page
    shown = run(by_snakemake, "dvc", "metrics", "show")
    assert all(f"metrics/{source}.json" in shown for source in ("synthetic", "language_model", "eeg"))


def test_metrics_hold_the_skipped_recording_and_the_cost_of_zeroing(by_snakemake: Path) -> None:
    eeg = json.loads((by_snakemake / "metrics" / "eeg.json").read_text())["eeg"]
    assert eeg["recordings_skipped"] == 1
    model = json.loads((by_snakemake / "metrics" / "language_model.json").read_text())["language_model"]
    assert {"ce_intact", "ce_zeroed", "baseline", "mfr"} == set(model) and set(model["mfr"]) == {"mse", "excess_ce"}


def vectors_and_results(folder: Path) -> dict[Path, bytes]:
    files = [
        *folder.glob("data/eeg/*.h5"),
        *folder.glob("metrics/*"),
        *folder.glob("results/eeg/*"),
        *folder.glob("runs/eeg/*/*/*"),
        *folder.glob("features/eeg/*/*/*"),
    ]
    return {path: path.read_bytes() for path in files}


def test_a_stage_that_fails_in_dvc_keeps_all_earlier_results(by_dvc: Path) -> None:
    before = vectors_and_results(by_dvc)
    edit(by_dvc, "params.yaml", GOOD_CHANNELS, BAD_CHANNELS)
    output = run(by_dvc, "dvc", "repro", "compare@eeg", fails=True)
    assert "C99" in output and "Traceback" not in output
    assert vectors_and_results(by_dvc) == before
    edit(by_dvc, "params.yaml", BAD_CHANNELS, GOOD_CHANNELS)


def test_a_stage_that_fails_in_snakemake_loses_only_its_own_output_which_dvc_has(by_snakemake: Path) -> None:
    folder = by_snakemake
    before = vectors_and_results(folder)
    edit(folder, "params.yaml", GOOD_CHANNELS, BAD_CHANNELS)
    output = run(folder, "python", "-m", "workflow.run", "--cores", "1", "eeg", fails=True)
    assert "failed: logs/eeg/preprocess_eeg.log" in output and "C99" in output and "Traceback" not in output
    kept = vectors_and_results(folder)
    assert {path.name for path in before.keys() - kept.keys()} == {"train.h5", "validation.h5", "heldout.h5"}
    assert all(before[path] == content for path, content in kept.items())
    assert "python -m stages.preprocess_eeg" in snakemake(folder, "--dry-run")

    edit(folder, "params.yaml", BAD_CHANNELS, GOOD_CHANNELS)
    run(folder, "dvc", "checkout")
    assert vectors_and_results(folder) == before
    run(folder, "dvc", "status", "--quiet")


def test_an_experiment_of_dvc_sets_a_parameter_and_runs(by_dvc: Path) -> None:
    # The last test of this clone: DVC writes params.yaml in a style of its own.
    commit(by_dvc)
    output = run(by_dvc, "dvc", "exp", "run", "--set-param", "eeg.methods.mfr.penalty.alpha_factor=0.7")
    assert "python -m stages.train --source eeg --method mfr --seed 0" in output
    assert "generate_synthetic" not in output.split("Running stage", 1)[1].split("didn't change")[0]
    assert "alpha_factor: 0.7" in (by_dvc / "params.yaml").read_text()


def _metrics_diff(folder: Path) -> list[dict[str, object]]:
    difference = json.loads(run(folder, "dvc", "metrics", "diff", "--json", "--all"))
    return [{"key": key, **values} for file in difference.values() for key, values in file.items()]
