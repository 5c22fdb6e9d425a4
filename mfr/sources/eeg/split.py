"""Split windows into training, validation and held-out, by subject or by time."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import numpy as np

from mfr.compute.seeds import numpy_stream
from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UserError
from mfr.runtime.wording import counted, listed
from mfr.sources.eeg.artefacts import REASONS
from mfr.sources.eeg.signals import Plan

Split = Literal["train", "validation", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout")
NAMES: dict[Split, str] = {"train": "training", "validation": "validation", "heldout": "held-out"}
SHOWN_SUBJECTS = 50


def by_subject(subjects: list[str], skipped: str, parameters: PreprocessEeg) -> dict[str, Split]:
    """Side of each of `subjects`.

    Every side has at least one subject, except validation if its share is 0. Raises `UserError` if there are too few subjects;
    its message includes `skipped`, which says why other recordings are unusable.
    """
    validated = int(parameters.validation_share > 0)
    if len(subjects) < 2 + validated:
        without = "validation_share: 0 (no validation) or " if len(subjects) == 2 else ""
        raise UserError(
            f"preprocess_eeg.split: {'training, validation and held-out' if validated else 'training and held-out'} vectors "
            f"need {2 + validated} subjects, but all usable recordings are of {', '.join(map(repr, subjects))}"
            f"{skipped and f' (skipped: {skipped})'}; add recordings of another subject, or set {without}split: time; if these "
            "are of more subjects, set subject_pattern or put each subject's recordings in a folder of its own"
        )
    heldout = min(max(round(parameters.heldout_share * len(subjects)), 1), len(subjects) - 1 - validated)
    validation = validated * min(max(round(parameters.validation_share * len(subjects)), 1), len(subjects) - 1 - heldout)
    drawn = numpy_stream("heldout_subjects", parameters.seed).permutation(subjects).tolist()
    ends = heldout, heldout + validation
    return {name: "heldout" if n < ends[0] else "validation" if n < ends[1] else "train" for n, name in enumerate(drawn)}


def by_time(plan: Plan, parameters: PreprocessEeg) -> dict[Split, np.ndarray]:
    """Mask (windows,) of each side's windows in a recording.

    The first part is for training, the last is held-out, and validation is in between. Windows that cross a border are on no
    side, so that no sample is on two.
    """
    start = np.arange(plan.count) * plan.step
    end = start + plan.window
    trained = 1 - parameters.heldout_share - parameters.validation_share
    borders = [0, *(round(share * end[-1]) for share in (trained, 1 - parameters.heldout_share)), end[-1]]
    return {side: (start >= borders[i]) & (end <= borders[i + 1]) for i, side in enumerate(SPLITS)}


def sides_of_subjects(side_of: dict[str, Split]) -> list[str]:
    """A line per side with its subjects."""
    lines = []
    for side in SPLITS:
        subjects = sorted(subject for subject, its in side_of.items() if its == side)
        if subjects:
            lines.append(
                f"preprocess_eeg: {NAMES[side]}: {counted(len(subjects), 'subject')}: {listed(subjects, SHOWN_SUBJECTS)}"
            )
    return lines


def why_empty(side: Split, recordings: Iterable[tuple[Plan, np.ndarray]], parameters: PreprocessEeg) -> str:
    """Why `by_time` leaves no window on a side, and what to do.

    Each recording has its plan and the verdicts on its windows, (windows,).
    """
    given = list(recordings)
    verdicts = np.concatenate([verdicts[by_time(plan, parameters)[side]] for plan, verdicts in given])
    share = {"heldout": parameters.heldout_share, "validation": parameters.validation_share}
    share["train"] = 1 - sum(share.values())
    where = f"preprocess_eeg.split: time leaves no {NAMES[side]} vector"
    if len(verdicts):
        dropped = Counter(REASONS[code - 1] for code in verdicts)
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        which = f"all {counted(len(verdicts), 'window')} in that part of the recordings are dropped ({why})"
        return f"{where}: {which}; use more or longer recordings, or another share"
    longest = max((plan.count - 1) * plan.step + plan.window for plan, _ in given) / parameters.rate_hz
    which = "the only recording" if len(given) == 1 else f"each of {len(given)} recordings"
    return (
        f"{where}: its part, {share[side]:.0%} of {which} (at most {share[side] * longest:.3g} s), contains no whole window of "
        f"{parameters.window_s:g} s; use longer recordings, a shorter window_s or another share"
    )
