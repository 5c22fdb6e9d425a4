"""Which electrodes are studied, and the reference that each is measured against."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mfr.runtime.errors import UserError
from mfr.runtime.wording import counted, listed
from mfr.sources.eeg.electrodes import TCP19, electrodes_of, known_electrodes

# Electrode pairs of TUH EEG's montage 01_tcp_ar, in its order.
TCP_BIPOLAR = (
    *(("FP1", "F7"), ("F7", "T3"), ("T3", "T5"), ("T5", "O1"), ("FP2", "F8"), ("F8", "T4"), ("T4", "T6"), ("T6", "O2")),
    *(("A1", "T3"), ("T3", "C3"), ("C3", "CZ"), ("CZ", "C4"), ("C4", "T4"), ("T4", "A2")),
    *(("FP1", "F3"), ("F3", "C3"), ("C3", "P3"), ("P3", "O1"), ("FP2", "F4"), ("F4", "C4"), ("C4", "P4"), ("P4", "O2")),
)
Kind = Literal["referential", "average", "tcp_bipolar"]


def named(channels: Sequence[str]) -> list[str]:
    """Electrodes of a list of labels; `UserError` if it is empty or gives an electrode twice."""
    names = electrodes_of(channels)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"preprocess_eeg.channels: lists {', '.join(twice)} twice; list each electrode once (T7, T8, P7 and P8 are other "
            "names of T3, T4, T5 and T6)"
        )
    return names


def common(recordings: Mapping[str, Sequence[str]], fewest: int = 1) -> list[str]:
    """Known electrodes that all of `recordings` have, those of TCP19 first.

    Each recording is given by its path and labels. Raises `UserError` if there is no such electrode, or if there are less than
    `fewest` because recordings lack some.
    """
    has = {path: set(electrodes_of(labels)) for path, labels in recordings.items()}
    found = [name for name in _known() if all(name in names for names in has.values())]
    why = lost(recordings)
    if found and (len(found) >= fewest or not why):
        return found
    among = counted(len(has), "recording")
    few = (
        f"common leaves {counted(len(found), 'electrode')} ({', '.join(found)}) in {among}, fewer than min_channels = {fewest}"
    )
    what, lower = (few, ", or lower min_channels") if found else (f"common, but no electrode is in all of {among}", "")
    raise UserError(
        f"preprocess_eeg.channels: {what}{why and f'; {why}'}; give tcp19 or a list of electrodes, and recordings that lack "
        f"one are skipped, or take that file out of the folder{lower}"
    )


def lost(recordings: Mapping[str, Sequence[str]]) -> str:
    """Which of `recordings` costs the most common electrodes, and which it costs; empty if none does.

    A recording costs the electrodes that it lacks, but at least half of the recordings have.
    """
    has = {path: set(electrodes_of(labels)) for path, labels in recordings.items()}
    counts = Counter(name for names in has.values() for name in names)
    usual = [name for name in _known() if 2 * counts[name] >= len(has)]
    path = max(has, key=lambda path: sum(name not in has[path] for name in usual))
    costs = [name for name in usual if name not in has[path]]
    what = f"lacks {counted(len(costs), 'electrode')} that at least half of the recordings have ({listed(costs, 6)})"
    return f"{path} costs most: it {what}" if costs else ""


def _known() -> list[str]:
    return list(dict.fromkeys([*TCP19, *known_electrodes()]))


@dataclass(frozen=True)
class Montage:
    """The electrodes to read, and the reference that their signals are measured against.

    Raises `UserError` if too few electrodes are given for the reference.
    """

    electrodes: list[str]
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind == "average" and len(self.electrodes) < 2:
            raise UserError(
                f"preprocess_eeg.montage: average needs at least two electrodes, but {self.electrodes[0]} is the only one; "
                "give referential or more channels"
            )
        if self.kind == "tcp_bipolar" and not self.pairs:
            raise UserError(
                f"preprocess_eeg.montage: tcp_bipolar, but none of its pairs is among {', '.join(self.electrodes)}; set "
                "preprocess_eeg.channels to tcp19 or to neighbours such as [FP1, F7, T3]"
            )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """TUH EEG's pairs whose electrodes are both in `electrodes`."""
        return [(first, second) for first, second in TCP_BIPOLAR if {first, second} <= set(self.electrodes)]

    @property
    def channels(self) -> list[str]:
        """Names of the channels that `apply` returns: electrodes, or pairs such as FP1-F7."""
        return [f"{first}-{second}" for first, second in self.pairs] if self.kind == "tcp_bipolar" else self.electrodes

    def apply(self, signals: np.ndarray) -> np.ndarray:
        """Signals (channels, time) of `channels`, from those of `electrodes` (electrodes, time)."""
        applied: np.ndarray = signals
        if self.kind == "average":
            applied = signals - signals.mean(axis=0)
        elif self.kind == "tcp_bipolar":
            first, second = ([self.electrodes.index(pair[side]) for pair in self.pairs] for side in (0, 1))
            applied = signals[first] - signals[second]
        return applied
