"""DVC runs the experiment smoke, then Snakemake takes its results over."""

from pathlib import Path

from tests.support.project import commit, dvc_repro, edit, run, snakemake
from tests.support.smoke import BAD_CHANNELS, GOOD_CHANNELS, MFR_OF_SYNTHETIC, change_weight, metrics_diff, vectors_and_results


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
    assert {row["key"] for row in metrics_diff(folder) if row["old"] != row["new"]} >= {"synthetic.mfr.mse"}
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


def test_a_stage_that_fails_in_dvc_keeps_all_earlier_results(by_dvc: Path) -> None:
    before = vectors_and_results(by_dvc)
    edit(by_dvc, "params.yaml", GOOD_CHANNELS, BAD_CHANNELS)
    output = run(by_dvc, "dvc", "repro", "compare@eeg", fails=True)
    assert "C99" in output and "Traceback" not in output
    assert vectors_and_results(by_dvc) == before
    edit(by_dvc, "params.yaml", BAD_CHANNELS, GOOD_CHANNELS)


def test_an_experiment_of_dvc_sets_a_parameter_and_runs(by_dvc: Path) -> None:
    # The last test of this clone: DVC writes params.yaml in a style of its own.
    commit(by_dvc)
    output = run(by_dvc, "dvc", "exp", "run", "--set-param", "eeg.methods.mfr.penalty.alpha_factor=0.7")
    assert "python -m stages.train --source eeg --method mfr --seed 0" in output
    assert "generate_synthetic" not in output.split("Running stage", 1)[1].split("didn't change")[0]
    assert "alpha_factor: 0.7" in (by_dvc / "params.yaml").read_text()
