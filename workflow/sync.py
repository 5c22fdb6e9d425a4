"""Bring the other engine up to date after a run of one: `python -m workflow.sync`.

After Snakemake, DVC is told of the results by `dvc commit`; after DVC, Snakemake by `snakemake --touch --forceall`. Both
commands believe what lies on the disk, so each is gated: only the engine whose own state is clean may vouch for it.
"""

import argparse
import csv
import subprocess
import sys


def main(argv: list[str] | None = None) -> int:
    """Synchronise whichever engine lags; exit status 1, with one line, where neither can vouch for the files."""
    argparse.ArgumentParser(prog="python -m workflow.sync", description=__doc__).parse_args(argv)
    snakemake_clean, dvc_clean = snakemake_is_clean(), dvc_is_clean()
    if snakemake_clean and dvc_clean:
        print("both engines are up to date")
    elif snakemake_clean:
        _run("dvc", "commit", "--force", "--quiet")
        print("DVC now knows Snakemake's results")
    elif dvc_clean:
        _run("snakemake", "--cores", "1", "--touch", "--forceall", "--quiet", "all")
        print("Snakemake now knows DVC's results")
    else:
        message = "neither engine is up to date: run `snakemake --cores 4 --resources gpu=1` or `dvc repro` to its end first"
        print(f"error: {message}", file=sys.stderr)
        return 1
    return 0


def snakemake_is_clean() -> bool:
    """Whether Snakemake has nothing to do, and a record of every output.

    Without a record it knows neither parameters nor code of an output, and a file that is there passes for fresh.
    """
    if "Nothing to be done" not in _run("snakemake", "--cores", "1", "--dry-run"):
        return False
    outputs = csv.DictReader(_run("snakemake", "--cores", "1", "--summary").splitlines(), delimiter="\t")
    return all(output["log-file(s)"] != "-" for output in outputs)


def dvc_is_clean() -> bool:
    """Whether DVC has nothing to do, and holds all results in its cache."""
    return subprocess.run(["dvc", "status", "--quiet"], capture_output=True).returncode == 0


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: `{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
