"""Electrodes: which one a channel's label means, which are studied, and what each is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mfr.runtime.errors import UserError
from mfr.sources.eeg.electrodes import TCP19, electrode, known_electrodes

# The pairs of TUH EEG's montage 01_tcp_ar, in its order.
TCP_BIPOLAR = (
    *(("FP1", "F7"), ("F7", "T3"), ("T3", "T5"), ("T5", "O1"), ("FP2", "F8"), ("F8", "T4"), ("T4", "T6"), ("T6", "O2")),
    *(("A1", "T3"), ("T3", "C3"), ("C3", "CZ"), ("CZ", "C4"), ("C4", "T4"), ("T4", "A2")),
    *(("FP1", "F3"), ("F3", "C3"), ("C3", "P3"), ("P3", "O1"), ("FP2", "F4"), ("F4", "C4"), ("C4", "P4"), ("P4", "O2")),
)
Kind = Literal["referential", "average", "tcp_bipolar"]


def named(channels: Sequence[str]) -> list[str]:
    """Electrodes of a list of names. Raises `UserError` for an empty list or an electrode named twice."""
    names = [electrode(name) for name in channels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"preprocess_eeg.channels names {', '.join(twice)} twice: name each electrode once")
    if not names:
        raise UserError("preprocess_eeg.channels is empty: give tcp19, common, or a list of electrodes such as [C3, C4]")
    return names


def common(recordings: Sequence[Sequence[str]]) -> list[str]:
    """Known electrodes that are among the labels of each of `recordings`, those of TCP19 first.

    Raises `UserError` where there is none.
    """
    everywhere = set.intersection(*(set(map(electrode, labels)) for labels in recordings))
    found = [name for name in dict.fromkeys([*TCP19, *known_electrodes()]) if name in everywhere]
    if not found:
        raise UserError(
            f"preprocess_eeg.channels is common, but no electrode is in all of {len(recordings)} recordings: give tcp19 or a "
            "list of electrodes, so that recordings without them are skipped"
        )
    return found


@dataclass(frozen=True)
class Montage:
    """The electrodes that are read, and what their signals are measured against."""

    electrodes: list[str]
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind == "average" and len(self.electrodes) < 2:
            raise UserError(
                f"preprocess_eeg.montage is average, but {self.electrodes[0]} is the only electrode: less its own mean nothing "
                "is left; give referential, or more channels"
            )
        if self.kind == "tcp_bipolar" and not self.pairs:
            raise UserError(
                f"preprocess_eeg.montage is tcp_bipolar, but none of its pairs is among {', '.join(self.electrodes)}: "
                "give tcp19 as channels, or neighbours such as [FP1, F7, T3]"
            )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """TUH's pairs of which both electrodes are there."""
        return [(first, second) for first, second in TCP_BIPOLAR if {first, second} <= set(self.electrodes)]

    @property
    def channels(self) -> list[str]:
        """Names of the channels that `apply` gives: electrodes, or pairs such as FP1-F7."""
        return [f"{first}-{second}" for first, second in self.pairs] if self.kind == "tcp_bipolar" else self.electrodes

    def apply(self, signals: np.ndarray) -> np.ndarray:
        """The channels (channels, time) of the electrodes' signals (electrodes, time)."""
        if self.kind == "average":
            return signals - signals.mean(axis=0)
        if self.kind == "tcp_bipolar":
            first, second = ([self.electrodes.index(pair[side]) for pair in self.pairs] for side in (0, 1))
            return signals[first] - signals[second]
        return signals
