"""Turn EEG recordings into training, validation and held-out vectors (paper, section 4.2)."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
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
from mfr.runtime.records import file_sha256
from mfr.runtime.resume import Parts
from mfr.runtime.wording import counted
from mfr.sources.eeg.artefacts import REASONS
from mfr.sources.eeg.montage import Montage
from mfr.sources.eeg.preprocessing import Job, columns, convert, is_converted, outcome_of, sha256_of, skip
from mfr.sources.eeg.recordings import recording_manifest
from mfr.sources.eeg.signals import window_samples
from mfr.sources.eeg.split import SPLITS, Split, by_time, why_empty
from mfr.sources.eeg.survey import Row, Survey, rows_of, sides, subject_names, summary, survey
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

    1. Survey the files: which are usable, and their electrodes and subjects.
    2. Filter the usable files, several at a time. An interrupted run resumes with the files that are not yet in `scratch`.
    3. Draw the side of the split of each subject that has a recording with a good window.
    4. Write the vectors of each side to `outputs`, in the manifest's order.

    `table` has one row per file: used, or skipped for a reason. Raises `UserError` if a file has changed since it was listed,
    if two recordings are identical, if too few subjects have a usable file, or if a side of the split has no vectors.
    """
    root, manifest = recording_manifest(recordings)
    rows = rows_of(manifest)
    with (
        writing(*outputs.values(), table) as [*split_parts, table_part],
        _explained(rows),
        Workers(execution.workers) as workers,
    ):
        found = survey(root, manifest, rows, parameters, workers)
        sides(rows, found.jobs, parameters)  # ends a hopeless run before it filters anything
        usable = [rows[index] for index in found.jobs]
        print(*summary(usable, parameters), *found.lines, sep="\n", file=sys.stderr)
        parts = Parts(scratch, job_key(parameters.model_dump(), found.montage.electrodes))
        _convert(list(found.jobs.values()), parts, workers, execution)
        jobs = {index: job for index, job in found.jobs.items() if _judge(job, rows[index], parts)}
        chosen, lines = sides(rows, jobs, parameters)
        for index, side in chosen.items():
            rows[index].split = side
        print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr)
        files = dict(zip(outputs, split_parts, strict=True))
        counts = _write_all(found, jobs, rows, parameters, parts, files, table_part)
    parts.delete()
    used = sum(row.status == "used" for row in rows)
    vectors = ", ".join(f"{count} {side}" for side, count in counts.items())
    return f"{used} of {counted(len(rows), 'file')} used; vectors: {vectors}"


def _write_all(
    found: Survey,
    jobs: dict[int, Job],
    rows: list[Row],
    parameters: PreprocessEeg,
    parts: Parts,
    files: dict[Split, Path],
    table: Path,
) -> dict[Split, int]:
    """Write the vectors of each side and the table of recordings; return the number of vectors of each side."""
    with ExitStack() as stack:
        columns_of = _columns(found.montage, parameters)
        writers = {side: stack.enter_context(VectorWriter(file, "eeg", columns_of)) for side, file in files.items()}
        subjects = subject_names(rows)
        for index, job in jobs.items():
            origin = {"recording": index, "subject": subjects.index(rows[index].subject)}
            _write(job, rows[index], origin, parts, writers)
        _save(rows, table)
        hashes = [sha256_of(found.jobs[index], parts) if index in found.jobs else "" for index in range(len(rows))]
        facts = _facts(parameters, found.montage, rows) | {"files_sha256": json.dumps(hashes)}
        facts["recordings_sha256"] = file_sha256(table)
        for side, writer in writers.items():
            if not writer.rows and (side != "validation" or parameters.validation_share > 0):
                verdicts = ((job.plan, outcome_of(job, parts).verdicts) for job in jobs.values())
                raise UserError(why_empty(side, verdicts, parameters))
            for name, value in {"split": side, **facts}.items():
                writer.describe(name, value)
    return {side: writer.rows for side, writer in writers.items()}


@contextmanager
def _explained(rows: list[Row]) -> Iterator[None]:
    """If the block raises `UserError`, save the rows where no engine deletes them, and name the file."""
    paths.RECORDINGS_FAILED.unlink(missing_ok=True)
    try:
        yield
    except UserError as error:
        paths.RECORDINGS_FAILED.parent.mkdir(parents=True, exist_ok=True)
        _save([replace(row, status=row.status if row.reason else "usable") for row in rows], paths.RECORDINGS_FAILED)
        raise UserError(f"{error} ({paths.RECORDINGS_FAILED} has a row for each file)") from None


def _save(rows: list[Row], table: Path) -> None:
    pd.DataFrame([asdict(row) for row in rows]).astype({"channels": "Int64"}).to_csv(table, index=False)


def _convert(jobs: list[Job], parts: Parts, workers: Workers, execution: Execution) -> None:
    """Filter the recordings that are not yet in `parts`."""
    left = [job for job in jobs if not is_converted(job, parts)]
    with Ticker(execution.progress_s) as report:
        converted = workers.map(partial(convert, parts=parts), left, [sum(map(size, job.contents.files)) for job in left])
        for done, (index, failed) in enumerate(converted, start=len(jobs) - len(left) + 1):
            if failed:
                skip(left[index], failed, parts)
            report(f"preprocess_eeg: {done} of {counted(len(jobs), 'usable file')}")


def _judge(job: Job, row: Row, parts: Parts) -> bool:
    """Complete the row of a converted recording but for the windows that are kept; whether there are any."""
    outcome = outcome_of(job, parts)
    row.multiplied_by = outcome.factor
    row.flat, row.clipped, row.noisy = (outcome.dropped[reason] for reason in REASONS)
    row.windows_dropped = sum(outcome.dropped.values())
    row.reason = outcome.skipped
    return bool((outcome.verdicts == 0).any())


def _write(job: Job, row: Row, origin: dict[str, int], parts: Parts, writers: dict[Split, VectorWriter]) -> None:
    """Append the vectors of one recording to the writers, and complete its row."""
    outcome = outcome_of(job, parts)
    kept = outcome.verdicts == 0
    on_side = by_time(job.plan, job.parameters) if row.split == "time" else {}
    for side, writer in writers.items():
        chosen = kept & on_side.get(side, np.array(row.split == side))
        for block in columns(job, outcome, chosen, parts) if chosen.any() else ():
            rows = len(block["vectors"])
            writer.append(**block, **{name: np.full(rows, number) for name, number in origin.items()})
            row.windows_kept += rows
    row.across = int(kept.sum()) - row.windows_kept
    row.windows_dropped += row.across
    if row.windows_kept:
        row.status = "used"
    else:
        row.reason = "no window is kept: all cross a border of the split"


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
