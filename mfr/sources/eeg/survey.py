"""Survey the recordings: which are usable, why others are not, and how they are split."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UnusableError, UserError
from mfr.runtime.wording import counted
from mfr.sources.eeg.bids import CHANNELS, Channels, table_of
from mfr.sources.eeg.duplicates import identical
from mfr.sources.eeg.electrodes import TCP19, describe_labels, electrodes_of, known_electrodes
from mfr.sources.eeg.fif import check_first
from mfr.sources.eeg.formats import Contents, find, read_contents
from mfr.sources.eeg.montage import Montage, common, lost, named
from mfr.sources.eeg.preprocessing import Job
from mfr.sources.eeg.recordings import RecordingManifest, ending
from mfr.sources.eeg.split import Split, by_subject, sides_of_subjects
from mfr.sources.eeg.subjects import is_by_file, subject_of
from mfr.sources.eeg.workers import Workers, size

SHOWN_REASONS = 5
SAMPLES = (".eeg", ".dat", ".fdt")  # companions with samples


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


def rows_of(manifest: RecordingManifest) -> list[Row]:
    """A row for each recording of a manifest, then for each that it leaves out, with the reason."""
    left_out = [Row(entry.path, reason=entry.reason) for entry in manifest.left_out]
    return [Row(file.path) for file in manifest.files] + left_out


@dataclass(frozen=True)
class Survey:
    """The montage, the jobs that convert the usable files, by the index of their row, and lines for the user."""

    montage: Montage
    jobs: dict[int, Job]
    lines: list[str]


def survey(root: Path, manifest: RecordingManifest, rows: list[Row], parameters: PreprocessEeg, workers: Workers) -> Survey:
    """Read what the files below `root` declare, but not their samples, and choose the electrodes.

    Fills in the rows, with a reason for each unusable file, and appends those of files with samples that no file is read with.
    Raises `UserError` if `parameters` and the files leave no valid montage, or if two recordings are identical.
    """
    for row in rows:
        if row.reason:
            continue
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
    _add_samples_without_header(root, manifest, rows, readable)
    tables = _tables(root, manifest, rows, readable)
    montage, costs = _montage(readable, tables, rows, parameters)
    jobs = {}
    for index, contents in readable.items():
        try:
            channels = find(contents, montage.electrodes, parameters.unit)
            job = Job(root / rows[index].path, contents, channels, montage, parameters)
            _check_marks(job, tables.get(index))
            rows[index].rate_hz = float(job.rate)
            _ = job.plan  # raises UnusableError if the recording is too short or too slow
            jobs[index] = job
        except UnusableError as error:
            rows[index].reason = str(error)
    _refuse_duplicates(rows, jobs)
    return Survey(montage, jobs, [line for line in (_studied(montage), costs) if line])


def _skip_continuations(root: Path, rows: list[Row], readable: dict[int, Contents]) -> None:
    """Remove from `readable` the files that MNE reads with another file.

    A long FIF recording, for example, is split into files that MNE reads with the first.
    """
    continued = {path.resolve(): rows[index].path for index, contents in readable.items() for path in contents.files[1:]}
    for index in list(readable):
        path = root / rows[index].path
        if first := continued.get(path.resolve()):
            rows[index].reason = f"read with another file: {first}"
            del readable[index]
        elif ending(path) in (".fif", ".fif.gz"):
            try:
                check_first(path)
            except UnusableError as error:
                rows[index].reason = str(error)
                del readable[index]


def _add_samples_without_header(
    root: Path, manifest: RecordingManifest, rows: list[Row], readable: dict[int, Contents]
) -> None:
    """Append a row for each file with samples that belongs to no recording, readable or not."""
    read = {path.resolve() for contents in readable.values() for path in contents.files}
    listed = {row.path.rpartition(".")[0] for row in rows}
    for path in (file.path for file in manifest.companions):
        alone = (root / path).resolve() not in read and path.rpartition(".")[0] not in listed
        if ending(Path(path)) in SAMPLES and alone:
            rows.append(
                Row(path, reason="samples without a header: no .vhdr or .set file names it, and other formats are not read")
            )


def _tables(root: Path, manifest: RecordingManifest, rows: list[Row], readable: dict[int, Contents]) -> dict[int, Channels]:
    """BIDS' table of channels of each readable recording that has one; recordings with a damaged one are no more readable."""
    names = [file.path for file in manifest.companions if Path(file.path).name.endswith(CHANNELS)]
    found: dict[int, Channels] = {}
    for index in list(readable):
        try:
            table = table_of(rows[index].path, names, root)
        except UnusableError as error:
            rows[index].reason = str(error)
            del readable[index]
        else:
            found |= {index: table} if table else {}
    return found


def _check_marks(job: Job, table: Channels | None) -> None:
    """Raise `UnusableError` if a studied channel is marked as bad or as no EEG, in the file or in its table of channels."""
    if table:
        table.check(job.montage.electrodes)
    bad = [job.contents.labels[channel] for channel in job.channels if job.contents.labels[channel] in job.contents.bad]
    if bad:
        raise UnusableError(f"channel marked bad in the file: {', '.join(bad)}")


def _refuse_duplicates(rows: list[Row], jobs: dict[int, Job]) -> None:
    """Raise `UserError` if two usable recordings have identical samples; the rows of the copies get a reason."""
    pairs = identical({index: job.contents.files for index, job in jobs.items()})
    for one, other in pairs:
        rows[other].reason = f"identical to another file: {rows[one].path}"
    if pairs:
        first, copy = (rows[index] for index in pairs[0])
        who = f"both of subject {first.subject}" if first.subject == copy.subject else f"of {first.subject} and {copy.subject}"
        more = f", as {'is' if len(pairs) == 2 else 'are'} {counted(len(pairs) - 1, 'other pair')}" if len(pairs) > 1 else ""
        raise UserError(
            f"prepare_recordings.recordings: {first.path} and {copy.path} ({who}) have identical samples{more}; find out whose "
            "they are and take the copy out of the folder, or one recording would count twice or be on two sides of the split"
        )


def _montage(
    readable: dict[int, Contents], tables: dict[int, Channels], rows: list[Row], parameters: PreprocessEeg
) -> tuple[Montage, str]:
    """Electrodes to study, as `parameters.channels` says, and a line about the file that costs the most; empty if none."""
    if parameters.channels == "tcp19":
        return Montage(list(TCP19), parameters.montage), ""
    if parameters.channels != "common":
        return Montage(named(parameters.channels), parameters.montage), ""
    known = set(known_electrodes())
    labels = {
        rows[index].path: tables[index].eeg(contents.labels) if index in tables else contents.labels
        for index, contents in readable.items()
    }
    eeg = {path: found for path, found in labels.items() if known & set(electrodes_of(found))}
    if not eeg:
        why = reasons(rows) or f"in {next(iter(labels))}, {describe_labels(next(iter(labels.values())))}"
        which = f"none of {len(rows)} recordings" if len(rows) > 1 else "the only recording"
        has = "has a known EEG electrode" if len(rows) > 1 else "has no known EEG electrode"
        raise UserError(f"preprocess_eeg.channels: common, but {which} {has} ({why}); check the files, or list their channels")
    montage = Montage(common(eeg, parameters.min_channels), parameters.montage)
    costs = lost(eeg)
    return montage, costs and f"preprocess_eeg: {costs}"


def _studied(montage: Montage) -> str:
    return f"preprocess_eeg: {counted(len(montage.electrodes), 'electrode')}: {', '.join(montage.electrodes)}"


def sides(rows: list[Row], usable: Collection[int], parameters: PreprocessEeg) -> tuple[dict[int, str], list[str]]:
    """Side of each usable recording, or `time` if it is split by time, and a line per side with its subjects.

    Raises `UserError` if no recording is usable, or if there are too few subjects.
    """
    if not usable:
        which = f"none of {len(rows)} recordings is" if len(rows) > 1 else "the only recording is not"
        raise UserError(f"prepare_recordings.recordings: {which} usable: {reasons(rows)}")
    if parameters.split == "time":
        return dict.fromkeys(usable, "time"), []
    subjects = sorted({rows[index].subject for index in usable})
    side_of: dict[str, Split] = by_subject(subjects, reasons(rows), parameters)
    return {index: side_of[rows[index].subject] for index in usable}, sides_of_subjects(side_of)


def summary(usable: list[Row], parameters: PreprocessEeg) -> list[str]:
    """Lines that count the usable files and subjects, and warn if subjects are file names."""
    subjects = len({row.subject for row in usable})
    lines = [f"preprocess_eeg: {counted(len(usable), 'usable file')} of {counted(subjects, 'subject')}"]
    by_file = [row.path for row in usable if is_by_file(row.path)]
    if by_file and parameters.subject_pattern is None and parameters.split == "subject":
        each = (
            "1 file counts as one subject, by its name"
            if len(by_file) == 1
            else f"{len(by_file)} files count as one subject each, by their names"
        )
        lines.append(
            f"warning: {each} (such as {by_file[0]}); if a person has "
            "several files, set preprocess_eeg.subject_pattern or give each person a folder, or one person can be on two sides "
            "of the split"
        )
    return lines


def reasons(rows: list[Row]) -> str:
    """The most frequent reasons of skipped files, with their counts.

    Reasons that differ only after a semicolon count as one, and the first is shown.
    """
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.reason.partition("; ")[0], row.reason)
    counts = Counter(row.reason.partition("; ")[0] for row in rows if row.reason).most_common()
    shown = [f"{count} × {first[reason]}" for reason, count in counts[:SHOWN_REASONS]]
    return "; ".join(shown + ["…"] * (len(counts) > SHOWN_REASONS))


def subject_names(rows: list[Row]) -> list[str]:
    """Names of all subjects, sorted."""
    return sorted({row.subject for row in rows if row.subject})
