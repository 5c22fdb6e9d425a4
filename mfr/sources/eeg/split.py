"""Which vectors train, validate and evaluate: those of different subjects, or of different times of each recording."""

from typing import Literal

import numpy as np

from mfr.compute.seeds import numpy_stream
from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UserError
from mfr.sources.eeg.signals import Plan

Split = Literal["train", "validation", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout")


def by_subject(subjects: list[str], skipped: str, parameters: PreprocessEeg) -> dict[str, Split]:
    """The side of each of `subjects`; held-out and, unless its share is 0, validation have at least one, as has training.

    Raises `UserError` where there are too few; it says with `skipped` why other recordings are of no use.
    """
    validated = int(parameters.validation_share > 0)
    if len(subjects) < 2 + validated:
        without = "validation_share: 0 to do without validation, or " if len(subjects) == 2 else ""
        raise UserError(
            f"{'training, validation and held-out' if validated else 'training and held-out'} vectors need {2 + validated} "
            f"subjects, but all usable recordings are of {', '.join(map(repr, subjects))}{skipped and f' (skipped: {skipped})'}"
            f": add another subject's, or set in preprocess_eeg {without}split: time; or, if these are of more subjects, put "
            "each one's into a folder of its own below the recordings, or set subject_pattern"
        )
    heldout = min(max(round(parameters.heldout_share * len(subjects)), 1), len(subjects) - 1 - validated)
    validation = validated * min(max(round(parameters.validation_share * len(subjects)), 1), len(subjects) - 1 - heldout)
    drawn = numpy_stream("heldout_subjects", parameters.seed).permutation(subjects).tolist()
    ends = heldout, heldout + validation
    return {name: "heldout" if n < ends[0] else "validation" if n < ends[1] else "train" for n, name in enumerate(drawn)}


def by_time(plan: Plan, parameters: PreprocessEeg) -> dict[Split, np.ndarray]:
    """Which windows of a recording are on each side, (windows,) bool: the first part, a middle one and the last.

    No sample is on two sides: windows that reach over a border are on none.
    """
    start = np.arange(plan.count) * plan.step
    end = start + plan.window
    trained = 1 - parameters.heldout_share - parameters.validation_share
    borders = [0, *(round(share * end[-1]) for share in (trained, 1 - parameters.heldout_share)), end[-1]]
    return {side: (start >= borders[i]) & (end <= borders[i + 1]) for i, side in enumerate(SPLITS)}
