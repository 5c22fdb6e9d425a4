"""Survey the recordings: which are usable, why others are not, and how they are split."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError, UserError
from mfr.sources.eeg.electrodes import TCP19, electrode, known_electrodes
from mfr.sources.eeg.formats import Contents, find, read_contents
from mfr.sources.eeg.montage import Montage, common, named
from mfr.sources.eeg.preprocessing import Job
from mfr.sources.eeg.split import by_subject
from mfr.sources.eeg.subjects import is_by_file, subject_of
from mfr.sources.eeg.workers import Workers, size

SHOWN_REASONS = 5


@dataclass
class Row:
    """Result for one file, used or skipped.

    The fields are the columns of the table of recordings, in this order.
    """

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
    across: int = 0  # windows that cross a border between two sides, and are on neither


def survey(root: Path, rows: list[Row], parameters: PreprocessEeg, workers: Workers) -> tuple[Montage, dict[int, Job]]:
    """Montage, and the jobs that convert the usable files, by the index of their row.

    Reads what the files below `root` declare, but not their samples. Fills in the rows, with a reason for each unusable file.
    Raises `UserError` if `parameters` and the files leave no valid montage.
    """
    for row in rows:
        try:
            row.subject = subject_of(row.path, parameters.subject_pattern)
        except UnusableError as error:
            row.reason = str(error)
    named = [index for index, row in enumerate(rows) if not row.reason]
    files = [root / rows[index].path for index in named]
    found: dict[int, Contents] = {}
    for place, contents in workers.map(read_contents, files, list(map(size, files))):
        row = rows[named[place]]
        if isinstance(contents, UnusableError):
            row.reason = str(contents)
        else:
            row.channels, row.seconds = len(contents.labels), contents.seconds
            found[named[place]] = contents
    readable = {index: found[index] for index in sorted(found)}
    _skip_continuations(root, rows, readable)
    montage = Montage(_electrodes(readable, rows, parameters), parameters.montage)
    jobs = {}
    for index, contents in readable.items():
        try:
            job = Job(
                root / rows[index].path, contents, find(contents, montage.electrodes, parameters.unit), montage, parameters
            )
            rows[index].rate_hz = float(job.rate)
            _ = job.plan  # raises UnusableError if the recording is too short or too slow
            jobs[index] = job
        except UnusableError as error:
            rows[index].reason = str(error)
    return montage, jobs


def _skip_continuations(root: Path, rows: list[Row], readable: dict[int, Contents]) -> None:
    """Remove from `readable` the files that MNE reads with another file.

    A long FIF recording, for example, is split into files that MNE reads with the first.
    """
    continued = {path.resolve(): rows[index].path for index, contents in readable.items() for path in contents.files[1:]}
    for index in list(readable):
        if first := continued.get((root / rows[index].path).resolve()):
            rows[index].reason = f"read with another file: {first}"
            del readable[index]


def _electrodes(readable: dict[int, Contents], rows: list[Row], parameters: PreprocessEeg) -> list[str]:
    """Electrodes to study, as `parameters.channels` says."""
    if parameters.channels == "tcp19":
        return list(TCP19)
    if parameters.channels != "common":
        return named(parameters.channels)
    eeg = [contents.labels for contents in readable.values() if set(map(electrode, contents.labels)) & set(known_electrodes())]
    if not eeg:
        why = reasons(rows)
        raise UserError(
            f"preprocess_eeg.channels: common, but none of {len(rows)} recordings has a known EEG electrode"
            f"{why and f' (skipped: {why})'}; check the files, or list their channels"
        )
    return common(eeg)


def set_sides(rows: list[Row], jobs: dict[int, Job], parameters: PreprocessEeg) -> None:
    """Set `split` of each usable recording: its side, or `time` if it is split by time.

    Raises `UserError` if no recording is usable, or if there are too few subjects.
    """
    if not jobs:
        raise UserError(f"prepare_recordings.recordings: none of {len(rows)} recordings is usable: {reasons(rows)}")
    subjects = sorted({rows[index].subject for index in jobs})
    side_of = by_subject(subjects, reasons(rows), parameters) if parameters.split == "subject" else {}
    for index in jobs:
        rows[index].split = side_of.get(rows[index].subject, "time")


def summary(usable: list[Row], parameters: PreprocessEeg) -> list[str]:
    """Lines that count the usable files and subjects, and warn if subjects are file names."""
    subjects = len({row.subject for row in usable})
    lines = [f"preprocess_eeg: {len(usable)} usable files of {subjects} subject{'s' * (subjects != 1)}"]
    by_file = [row.path for row in usable if is_by_file(row.path)]
    if by_file and parameters.subject_pattern is None and parameters.split == "subject":
        lines.append(
            f"warning: {len(by_file)} files count as one subject each, by their names (such as {by_file[0]}); if a person has "
            "several files, set preprocess_eeg.subject_pattern or give each person a folder, or one person can be on two sides "
            "of the split"
        )
    return lines


def reasons(rows: list[Row]) -> str:
    """The most frequent reasons of skipped files, with their counts."""
    counted = Counter(row.reason for row in rows if row.reason).most_common()
    shown = [f"{count} × {reason}" for reason, count in counted[:SHOWN_REASONS]]
    return "; ".join(shown + ["…"] * (len(counted) > SHOWN_REASONS))


def subject_names(rows: list[Row]) -> list[str]:
    """Names of all subjects, sorted."""
    return sorted({row.subject for row in rows if row.subject})
