"""Turn EEG recordings into training, validation and held-out vectors (paper, section 4.2)."""

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mfr.config.eeg import Eeg, PreprocessEeg
from mfr.config.experiment import Execution, Params
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.files import writing
from mfr.runtime.progress import Ticker
from mfr.runtime.resume import Parts
from mfr.sources.eeg.artefacts import REASONS
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.preprocessing import Job, columns, convert, outcome_of, sha256_of, skip
from mfr.sources.eeg.recordings import recording_manifest
from mfr.sources.eeg.signals import window_samples
from mfr.sources.eeg.split import SPLITS, Split, by_time
from mfr.sources.eeg.survey import Row, reasons, set_sides, subject_names, summary, survey
from mfr.sources.eeg.workers import Workers, size
from mfr.vectors.writer import VectorWriter
from stages.common import call, job_key, stage_parser


def run(
    parameters: PreprocessEeg,
    recordings: Path,
    outputs: dict[Split, Path],
    table: Path,
    scratch: Path,
    execution: Execution,
) -> str:
    """Turn the files listed in `recordings`/manifest.json into vectors; return a summary line.

    1. Survey the files: which are usable, their electrodes and subjects, and the side of the split that each is on.
    2. Filter the usable files, several at a time. An interrupted run resumes with the files that are not yet in `scratch`.
    3. Write the vectors of each side to `outputs`, in the manifest's order.

    `table` has one row per file: used, or skipped for a reason. Raises `UserError` if a file has changed since it was listed,
    if too few subjects have a usable file, or if a side of the split has no vectors.
    """
    root, files = recording_manifest(recordings)
    rows = [Row(path) for path in files]
    with writing(*outputs.values(), table) as [*split_parts, table_part], Workers(execution.workers) as workers:
        montage, jobs = survey(root, rows, parameters, workers)
        set_sides(rows, jobs, parameters)
        print(*summary([rows[index] for index in jobs], parameters), sep="\n", file=sys.stderr)
        parts = Parts(scratch, job_key(parameters.model_dump(), montage.electrodes))
        _convert(list(jobs.values()), parts, workers, execution)
        with ExitStack() as stack:
            opened = [VectorWriter(part, "eeg", _columns(montage, parameters)) for part in split_parts]
            writers = {side: stack.enter_context(writer) for side, writer in zip(outputs, opened, strict=True)}
            subjects = subject_names(rows)
            for index, job in jobs.items():
                origin = {"recording": index, "subject": subjects.index(rows[index].subject)}
                _write(job, rows[index], origin, parts, writers)
            hashes = [sha256_of(jobs[index], parts) if index in jobs else "" for index in range(len(rows))]
            facts = _facts(parameters, montage, rows) | {"files_sha256": json.dumps(hashes)}
            for side, writer in writers.items():
                if not writer.rows and (side != "validation" or parameters.validation_share > 0):
                    why = reasons(rows) or "its part of each recording is shorter than a window"
                    raise UserError(f"preprocess_eeg: no vector is left for the {side} side of the split: {why}")
                for name, value in facts.items():
                    writer.describe(name, value)
        pd.DataFrame([asdict(row) for row in rows]).astype({"channels": "Int64"}).to_csv(table_part, index=False)
    parts.delete()
    used = sum(row.status == "used" for row in rows)
    found = ", ".join(f"{writer.rows} {side}" for side, writer in writers.items())
    return f"{used} of {len(rows)} files used; vectors: {found}"


def _convert(jobs: list[Job], parts: Parts, workers: Workers, execution: Execution) -> None:
    """Filter the recordings that are not yet in `parts`."""
    left = [job for job in jobs if job.name not in parts]
    with Ticker(execution.progress_s) as report:
        converted = workers.map(partial(convert, parts=parts), left, [sum(map(size, job.contents.files)) for job in left])
        for done, (index, failed) in enumerate(converted, start=len(jobs) - len(left) + 1):
            if failed:
                skip(left[index], failed, parts)
            report(f"preprocess_eeg: {done} of {len(jobs)} usable files")


def _write(job: Job, row: Row, origin: dict[str, int], parts: Parts, writers: dict[Split, VectorWriter]) -> None:
    """Append the vectors of one recording to the writers, and complete its row."""
    outcome = outcome_of(job, parts)
    kept = outcome.verdicts == 0
    on_side = by_time(job.plan, job.parameters) if row.split == "time" else {}
    for side, writer in writers.items() if kept.any() else ():
        chosen = kept & on_side.get(side, np.array(row.split == side))
        for block in columns(job, outcome, chosen, parts) if chosen.any() else ():
            rows = len(block["vectors"])
            writer.append(**block, **{name: np.full(rows, number) for name, number in origin.items()})
            row.windows_kept += rows
    row.multiplied_by = outcome.factor
    row.flat, row.clipped, row.noisy = (outcome.dropped[reason] for reason in REASONS)
    row.across = int(kept.sum()) - row.windows_kept
    row.windows_dropped = len(kept) - row.windows_kept
    if row.windows_kept:
        row.status = "used"
    else:
        row.reason = outcome.skipped or "no window is kept: all cross a border of the split"


def _columns(montage: Montage, parameters: PreprocessEeg) -> dict[str, tuple[tuple[int, ...], str]]:
    """Columns of the files of vectors, as `VectorWriter` takes them."""
    channels = len(montage.channels)
    return {
        "vectors": ((channels * window_samples(parameters),), "float32"),
        "recording": ((), "int32"),
        "start_s": ((), "float32"),
        "subject": ((), "int32"),
        "mean": ((channels,), "float32"),
        "deviation": ((channels,), "float32"),
    }


def _facts(parameters: PreprocessEeg, montage: Montage, rows: list[Row]) -> dict[str, str | float]:
    """Attributes of the files of vectors."""
    used = sum(row.status == "used" for row in rows)
    return {
        "parameters": parameters.model_dump_json(),
        "channels": json.dumps(montage.channels),
        "rate_hz": parameters.rate_hz,
        "window_samples": window_samples(parameters),
        "files_used": used,
        "files_skipped": len(rows) - used,
        "files": json.dumps([row.path for row in rows]),
        "subjects": json.dumps(subject_names(rows)),
    }


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    outputs = {split: paths.vectors("eeg", split) for split in SPLITS}
    scratch = paths.parts("preprocess_eeg")
    return run(params.section(Eeg).preprocess_eeg, paths.RECORDINGS, outputs, paths.RECORDINGS_TABLE, scratch, params.execution)


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.preprocess_eeg", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
