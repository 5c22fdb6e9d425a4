"""Both engines make the same, and rerun the same."""

import json
from pathlib import Path

from tests.support.project import run, snakemake, stage_commands

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
