"""Turn EEG recordings into vectors for training, validation and evaluation (paper, section 4.2)."""

import argparse
import json
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mfr.config.eeg import Eeg, PreprocessEeg
from mfr.config.experiment import Execution, Params
from mfr.runtime import paths
from mfr.runtime.errors import UnusableError, UserError
from mfr.runtime.files import writing
from mfr.runtime.progress import Ticker
from mfr.runtime.resume import Parts
from mfr.sources.eeg.artefacts import REASONS
from mfr.sources.eeg.electrodes import TCP19, electrode, known_electrodes
from mfr.sources.eeg.formats import Contents, find, read_contents
from mfr.sources.eeg.montage import Montage, common, named
from mfr.sources.eeg.preprocessing import Job, columns, convert, outcome_of, sha256_of
from mfr.sources.eeg.recordings import recording_manifest
from mfr.sources.eeg.signals import window_samples
from mfr.sources.eeg.split import SPLITS, Split, by_subject, by_time
from mfr.sources.eeg.subjects import is_by_file, subject_of
from mfr.sources.eeg.workers import in_processes
from mfr.vectors.writer import VectorWriter
from stages.common import call, job_key, stage_parser


@dataclass
class Row:
    """What became of one file: a row of the table."""

    path: str
    subject: str = ""
    split: str = ""
    status: str = "skipped"
    reason: str = ""
    rate_hz: float | None = None
    channels: int | None = None
    seconds: float | None = None
    multiplied_by: float = 1.0
    windows_kept: int = 0
    windows_dropped: int = 0
    flat: int = 0
    clipped: int = 0
    noisy: int = 0
    across: int = 0  # on no side, where they reach over a border between two


def run(
    parameters: PreprocessEeg,
    recordings: Path,
    outputs: dict[Split, Path],
    table: Path,
    scratch: Path,
    execution: Execution,
) -> str:
    """Turn the files that `recordings`/manifest.json lists into vectors, and tell in `table` what became of each.

    What the files hold is read first, to know the electrodes and the subjects that have a usable file. Then the files are
    filtered, several at a time; a run that was cut off goes on with those whose pieces are not in `scratch`. Last, the vectors
    are written in the manifest's order. A file that cannot be used is skipped, with its reason. Raises `UserError` where a file
    is no longer the one in the manifest, where too few subjects are usable, and where one side of the split is left without
    vectors.
    """
    root, files = recording_manifest(recordings)
    rows = [Row(path) for path in files]
    with writing(*outputs.values(), table) as [*split_parts, table_part]:
        montage, jobs = _survey(root, rows, parameters)
        _split(rows, jobs, parameters)
        _tell_subjects([rows[index] for index in jobs], parameters)
        parts = Parts(scratch, job_key(parameters.model_dump(), montage.electrodes))
        _convert(list(jobs.values()), parts, execution)
        with ExitStack() as stack:
            opened = [VectorWriter(part, "eeg", _columns(montage, parameters)) for part in split_parts]
            writers = {side: stack.enter_context(writer) for side, writer in zip(outputs, opened, strict=True)}
            subjects = _subjects(rows)
            for index, job in jobs.items():
                origin = {"recording": index, "subject": subjects.index(rows[index].subject)}
                _write(job, rows[index], origin, parts, writers)
            hashes = [sha256_of(jobs[index], parts) if index in jobs else "" for index in range(len(rows))]
            facts = _facts(parameters, montage, rows) | {"files_sha256": json.dumps(hashes)}
            for side, writer in writers.items():
                if not writer.rows and (side != "validation" or parameters.validation_share > 0):
                    raise UserError(f"no vector is left for the {side} side of the split: {_reasons(rows)}")
                for name, value in facts.items():
                    writer.describe(name, value)
        pd.DataFrame([asdict(row) for row in rows]).astype({"channels": "Int64"}).to_csv(table_part, index=False)
    parts.delete()
    used = sum(row.status == "used" for row in rows)
    found = ", ".join(f"{writer.rows} {side}" for side, writer in writers.items())
    return f"{used} of {len(rows)} files used; vectors: {found}"


def _survey(root: Path, rows: list[Row], parameters: PreprocessEeg) -> tuple[Montage, dict[int, Job]]:
    """The electrodes, and what is to be done with each file that looks usable; the others' rows are given a reason."""
    readable: dict[int, Contents] = {}
    for index, row in enumerate(rows):
        try:
            row.subject = subject_of(row.path, parameters.subject_pattern)
            contents = read_contents(root / row.path)
            row.channels, row.seconds = len(contents.labels), contents.seconds
            readable[index] = contents
        except UnusableError as error:
            row.reason = str(error)
    _skip_continuations(root, rows, readable)
    montage = Montage(_electrodes(readable, rows, parameters), parameters.montage)
    jobs = {}
    for index, contents in readable.items():
        try:
            job = Job(root / rows[index].path, contents, find(contents, montage.electrodes), montage, parameters)
            rows[index].rate_hz = float(job.rate)
            _ = job.plan
            jobs[index] = job
        except UnusableError as error:
            rows[index].reason = str(error)
    return montage, jobs


def _skip_continuations(root: Path, rows: list[Row], readable: dict[int, Contents]) -> None:
    # A long FIF recording is split into files, which are read with the first.
    continued = {path.resolve(): rows[index].path for index, contents in readable.items() for path in contents.files[1:]}
    for index in list(readable):
        if first := continued.get((root / rows[index].path).resolve()):
            rows[index].reason = f"read with another file: {first}"
            del readable[index]


def _electrodes(readable: dict[int, Contents], rows: list[Row], parameters: PreprocessEeg) -> list[str]:
    if parameters.channels == "tcp19":
        return list(TCP19)
    if parameters.channels != "common":
        return named(parameters.channels)
    eeg = [contents.labels for contents in readable.values() if set(map(electrode, contents.labels)) & set(known_electrodes())]
    if not eeg:
        raise UserError(f"none of {len(rows)} recordings holds an EEG electrode: {_reasons(rows)}")
    return common(eeg)


def _split(rows: list[Row], jobs: dict[int, Job], parameters: PreprocessEeg) -> None:
    """Set the side of each usable recording, or `time`."""
    if not jobs:
        raise UserError(f"none of {len(rows)} recordings can be used: {_reasons(rows)}")
    subjects = sorted({rows[index].subject for index in jobs})
    side_of = by_subject(subjects, _reasons(rows), parameters) if parameters.split == "subject" else {}
    for index in jobs:
        rows[index].split = side_of.get(rows[index].subject, "time")


def _tell_subjects(usable: list[Row], parameters: PreprocessEeg) -> None:
    subjects = len({row.subject for row in usable})
    print(f"preprocess_eeg: {len(usable)} usable files of {subjects} subject{'s' * (subjects != 1)}", file=sys.stderr)
    by_file = [row.path for row in usable if is_by_file(row.path)]
    if by_file and parameters.subject_pattern is None and parameters.split == "subject":
        print(
            f"warning: {len(by_file)} of them are taken for a subject each by the file's name, such as {by_file[0]}: if one "
            "person has several, who can then be on two sides of the split, set preprocess_eeg.subject_pattern or give each "
            "person a folder",
            file=sys.stderr,
        )


def _convert(jobs: list[Job], parts: Parts, execution: Execution) -> None:
    left = [job for job in jobs if job.name not in parts]
    with Ticker(execution.progress_s) as tell:
        for done, _ in enumerate(in_processes(convert, left, parts, execution.workers), start=len(jobs) - len(left) + 1):
            tell(f"preprocess_eeg: {done} of {len(jobs)} usable files")


def _write(job: Job, row: Row, origin: dict[str, int], parts: Parts, writers: dict[Split, VectorWriter]) -> None:
    """Append the vectors of one recording, and complete its row."""
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
        row.reason = outcome.skipped or "no window is kept: all reach over a border of the split"


def _reasons(rows: list[Row]) -> str:
    counted = Counter(row.reason for row in rows if row.reason).most_common()
    return "; ".join([f"{count} × {reason}" for reason, count in counted[:5]] + ["…"] * (len(counted) > 5))


def _columns(montage: Montage, parameters: PreprocessEeg) -> dict[str, tuple[tuple[int, ...], str]]:
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
    used = sum(row.status == "used" for row in rows)
    return {
        "parameters": parameters.model_dump_json(),
        "channels": json.dumps(montage.channels),
        "rate_hz": parameters.rate_hz,
        "window_samples": window_samples(parameters),
        "files_used": used,
        "files_skipped": len(rows) - used,
        "files": json.dumps([row.path for row in rows]),
        "subjects": json.dumps(_subjects(rows)),
    }


def _subjects(rows: list[Row]) -> list[str]:
    return sorted({row.subject for row in rows if row.subject})


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    outputs = {split: paths.vectors("eeg", split) for split in SPLITS}
    scratch = paths.parts("preprocess_eeg")
    return run(params.section(Eeg).preprocess_eeg, paths.RECORDINGS, outputs, paths.RECORDINGS_TABLE, scratch, params.execution)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.preprocess_eeg", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
