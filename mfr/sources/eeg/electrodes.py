"""Where electrodes lie on the scalp."""

import re
from collections.abc import Sequence
from functools import cache

import mne
import numpy as np

HEAD_M = 0.095


@cache
def _places() -> dict[str, np.ndarray]:
    """Directions of the electrodes of the 10–5 system by their names in capitals: x to the right, y to the nose, z up."""
    positions = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    return {name.upper(): place / np.linalg.norm(place) for name, place in positions.items()}


def directions(channels: Sequence[str]) -> np.ndarray:
    """Unit vectors (channels, 3) from the head's centre: x to the right, y to the nose, z up; NaN for an unknown name.

    A bipolar channel such as `FP1-F7` lies between its electrodes.
    """
    return np.stack([_direction(name) for name in channels])


def _direction(channel: str) -> np.ndarray:
    unknown = np.full(3, np.nan)
    middle = np.mean([_places().get(name, unknown) for name in channel.upper().split("-")], axis=0)
    return middle / np.linalg.norm(middle)


def flattened(places: np.ndarray) -> np.ndarray:
    """Unit vectors (channels, 3) on MNE's map of the head (channels, 2), in metres: the equator is its rim."""
    angle = np.arccos(places[:, 2].clip(-1, 1))[:, None]
    around = places[:, :2] / np.linalg.norm(places[:, :2], axis=1, keepdims=True).clip(min=1e-9)
    return HEAD_M * angle / (np.pi / 2) * around


def gains(channels: Sequence[str], sources: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """How strongly each channel sees sources at `sources` (s, 3), (s, channels): a Gaussian of the distance, of a given width.

    A bipolar channel sees the difference of its electrodes. A channel of unknown place sees nothing, unless none is known.
    """
    seen = np.stack([_seen(name, sources, width) for name in channels], axis=1)
    return np.ones_like(seen) if np.isnan(seen).all() else np.nan_to_num(seen)


def _seen(channel: str, sources: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    unknown = np.full(3, np.nan)
    places = np.stack([_places().get(name, unknown) for name in channel.upper().split("-")])
    squares = ((places[:, None] - sources[None]) ** 2).sum(axis=2)
    each = np.exp(-squares / (2 * np.square(width)))
    return each[0] if len(each) == 1 else each[0] - each[1]


TCP19 = tuple(
    ["FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T3", "C3", "CZ", "C4", "T4", "T5", "P3", "PZ", "P4", "T6", "O1", "O2"]
)
RENAMED = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
LABEL = re.compile(r"(?:EEG\s+)?([A-Z0-9]+)\.*(?:-(?:REF|LE|AR))?")


def electrode(label: str) -> str:
    """The electrode of the 10–20 system that a channel's label means: `EEG FP1-REF`, `Fp1.` and `fp1-LE` are FP1, T7 is T3.

    Other labels come back in capitals; a bipolar channel such as `FP1-F7` is no electrode and stays as it is.
    """
    label = label.strip().upper()
    match = LABEL.fullmatch(label)
    name = match[1] if match else label
    return RENAMED.get(name, name)


@cache
def known_electrodes() -> tuple[str, ...]:
    """Those of the 10–05 system, which holds the 10–20 and 10–10 systems: they tell EEG from a file's other channels."""
    return tuple(dict.fromkeys(map(electrode, mne.channels.make_standard_montage("colin27_1005").ch_names)))
