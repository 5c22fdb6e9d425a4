"""Snakemake runs the experiment smoke, then DVC takes its results over."""

import json
import re
from pathlib import Path

from tests.support.project import commit, dvc_repro, edit, run, snakemake
from tests.support.smoke import BAD_CHANNELS, GOOD_CHANNELS, MFR_OF_SYNTHETIC, change_weight, metrics_diff, vectors_and_results

BASELINE_ALONE = "versus: {}\n  train:\n    hidden: 64\n    k: [3, 3]"
MFR_AGAINST_REINIT = BASELINE_ALONE.replace("{}", "{mfr: reinit}")


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
    jobs = re.findall(r"^\[(\d)/5\] (\w+ \S+).* · (?:\d+ min )?\d+ s · .", output, re.MULTILINE)
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
    changed = {row["key"] for row in metrics_diff(folder) if row["old"] != row["new"]}
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
