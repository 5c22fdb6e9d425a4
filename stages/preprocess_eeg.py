"""Turn EEG recordings into vectors for training, validation and evaluation, of different subjects (paper, section 4.2)."""

import argparse
import json
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mfr import edf, eeg, paths
from mfr.errors import UserError
from mfr.params import Params, PreprocessEeg
from mfr.progress import Ticker
from mfr.recordings import recording_manifest
from mfr.seeds import numpy_stream
from mfr.store import VectorWriter
from stages.common import call, stage_parser, writing

Split = Literal["train", "validation", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout")


@dataclass
class Row:
    """What became of one file: a row of the table."""

    path: str
    subject: str
    split: str = ""
    status: str = "skipped"
    reason: str = ""
    rate_hz: float | None = None
    channels: int | None = None
    seconds: float | None = None
    windows_kept: int = 0
    windows_dropped: int = 0


def run(
    parameters: PreprocessEeg, recordings: Path, outputs: dict[Split, Path], table: Path, progress_s: float | None = None
) -> None:
    """Turn the files that `recordings`/manifest.json lists into vectors, and tell in `table` what became of each.

    Headers are read first, to know the subjects that have a usable file; shares of those are held out and kept for
    validation. Then the files are read one by one. A file that cannot be used is skipped, with its reason. Raises `UserError`
    where a file is no longer the one in the manifest, where too few subjects are usable, and where one side of the split is
    left without vectors.
    """
    electrodes = edf.montage(parameters.channels)
    root, files = recording_manifest(recordings)
    rows = [_survey(root, path, electrodes, parameters) for path in files]
    split = _split(rows, parameters)
    subjects = _subjects(rows)
    window, _ = eeg.window_samples(parameters)
    columns = {
        "vectors": ((len(electrodes) * window,), "float32"),
        "recording": ((), "int32"),
        "start_s": ((), "float32"),
        "subject": ((), "int32"),
        "mean": ((len(electrodes),), "float32"),
        "deviation": ((len(electrodes),), "float32"),
    }
    with writing(*outputs.values(), table) as [*parts, table_part]:
        with ExitStack() as stack:
            writers = {
                side: stack.enter_context(VectorWriter(part, "eeg", columns)) for side, part in zip(outputs, parts, strict=True)
            }
            with Ticker(progress_s) as tell:
                for index, row in enumerate(rows):
                    if not row.reason:
                        row.split = split[row.subject]
                        origin = {"recording": index, "subject": subjects.index(row.subject)}
                        _convert(root / row.path, row, origin, electrodes, parameters, writers[row.split])
                    tell(f"preprocess_eeg: {index + 1} of {len(rows)} files")
            for side, writer in writers.items():
                if not writer.rows and side in split.values():
                    raise UserError(f"no vector is left for the {side} subjects: {_reasons(rows)}")
                for name, value in _facts(parameters, electrodes, rows, files).items():
                    writer.describe(name, value)
        pd.DataFrame([asdict(row) for row in rows]).astype({"channels": "Int64"}).to_csv(table_part, index=False)
    used = sum(row.status == "used" for row in rows)
    found = ", ".join(f"{writer.rows} {side}" for side, writer in writers.items())
    print(f"preprocess_eeg: {used} of {len(rows)} files used; vectors: {found}", file=sys.stderr)


def _survey(root: Path, path: str, electrodes: list[str], parameters: PreprocessEeg) -> Row:
    row = Row(path, edf.subject_of(path))
    try:
        header = edf.read_header(root / path)
        row.channels, row.seconds = len(header.labels), header.seconds
        signal = edf.find(header, electrodes)[0]
        row.rate_hz = float(header.rate(signal))
        eeg.check_usable(header.records * header.samples[signal], header.rate(signal), parameters)
    except edf.UnusableError as error:
        row.reason = str(error)
    return row


def _split(rows: list[Row], parameters: PreprocessEeg) -> dict[str, Split]:
    usable = sorted({row.subject for row in rows if not row.reason})
    if not usable:
        raise UserError(f"none of {len(rows)} recordings can be used: {_reasons(rows)}")
    validated = int(parameters.validation_share > 0)
    if len(usable) < 2 + validated:
        skipped = f" (skipped: {_reasons(rows)})" if _reasons(rows) else ""
        without = "set preprocess_eeg.validation_share: 0 to do without validation, " if len(usable) == 2 else ""
        raise UserError(
            f"{'training, validation and held-out' if validated else 'training and held-out'} vectors need {2 + validated} "
            f"subjects, but all usable recordings are of {', '.join(map(repr, usable))}{skipped}: {without}add another "
            "subject's, or, if these are of more, put each subject's into a folder of its own below the recordings"
        )
    heldout = min(max(round(parameters.heldout_share * len(usable)), 1), len(usable) - 1 - validated)
    validation = validated * min(max(round(parameters.validation_share * len(usable)), 1), len(usable) - 1 - heldout)
    drawn = numpy_stream("heldout_subjects", parameters.seed).permutation(usable).tolist()
    sides: list[Split] = ["heldout"] * heldout + ["validation"] * validation
    return dict(zip_longest(drawn, sides, fillvalue="train"))


def _reasons(rows: list[Row]) -> str:
    counted = Counter(row.reason for row in rows if row.reason).most_common()
    return "; ".join([f"{count} × {reason}" for reason, count in counted[:5]] + ["…"] * (len(counted) > 5))


def _convert(
    path: Path, row: Row, origin: dict[str, int], electrodes: list[str], parameters: PreprocessEeg, writer: VectorWriter
) -> None:
    try:
        header = edf.read_header(path)
        signals = edf.find(header, electrodes)
        recording = eeg.clean(edf.read_signals(path, header, signals), header.rate(signals[0]), parameters)
    except edf.UnusableError as error:
        row.reason = str(error)
        return
    for block in eeg.vectorise(recording, parameters):
        count = len(block["vectors"])
        writer.append(**block, **{name: np.full(count, n) for name, n in origin.items()})
        row.windows_kept += count
    row.windows_dropped = len(recording.constant) - row.windows_kept
    if row.windows_kept:
        row.status = "used"
    else:
        always = [name for name, constant in zip(electrodes, recording.constant.T, strict=True) if constant.all()]
        row.reason = f"constant: {', '.join(always)}" if always else "a constant channel in every window"


def _facts(parameters: PreprocessEeg, electrodes: list[str], rows: list[Row], files: list[str]) -> dict[str, str | float]:
    used = sum(row.status == "used" for row in rows)
    return {
        "parameters": parameters.model_dump_json(),
        "channels": json.dumps(electrodes),
        "rate_hz": parameters.rate_hz,
        "window_samples": eeg.window_samples(parameters)[0],
        "files_used": used,
        "files_skipped": len(rows) - used,
        "files": json.dumps(files),
        "subjects": json.dumps(_subjects(rows)),
    }


def _subjects(rows: list[Row]) -> list[str]:
    return sorted({row.subject for row in rows})


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    run(
        params.eeg.preprocess_eeg,
        paths.RECORDINGS,
        {split: paths.vectors("eeg", split) for split in SPLITS},
        paths.RECORDINGS_TABLE,
        params.execution.progress_s,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.preprocess_eeg", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
