"""Names of electrodes, their positions on the scalp, and their gains for sources."""

import re
from collections.abc import Sequence
from functools import cache

import mne
import numpy as np

HEAD_M = 0.095


@cache
def _places() -> dict[str, np.ndarray]:
    """Unit vectors to the electrodes of the 10–05 system, as `directions`, by name in capitals."""
    positions = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    return {name.upper(): place / np.linalg.norm(place) for name, place in positions.items()}


def directions(channels: Sequence[str]) -> np.ndarray:
    """Unit vectors (channels, 3) from the head's centre: x right, y to the nose, z up.

    A bipolar channel such as `FP1-F7` points halfway between its electrodes. An unknown name gives NaN.
    """
    return np.stack([_direction(name) for name in channels])


def _direction(channel: str) -> np.ndarray:
    unknown = np.full(3, np.nan)
    middle = np.mean([_places().get(name, unknown) for name in channel.upper().split("-")], axis=0)
    direction: np.ndarray = middle / np.linalg.norm(middle)
    return direction


def flattened(places: np.ndarray) -> np.ndarray:
    """Positions (channels, 2) in metres on MNE's flat head map, whose rim is the equator.

    `places` are unit vectors (channels, 3).
    """
    angle = np.arccos(places[:, 2].clip(-1, 1))[:, None]
    around = places[:, :2] / np.linalg.norm(places[:, :2], axis=1, keepdims=True).clip(min=1e-9)
    flat: np.ndarray = HEAD_M * angle / (np.pi / 2) * around
    return flat


def gains(channels: Sequence[str], sources: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Gain (s, channels) of each channel for sources at `sources` (s, 3).

    The gain is a Gaussian of the distance, with the standard deviation `width`. A bipolar channel has the difference of its
    electrodes' gains. A channel at an unknown position has gain 0; if all positions are unknown, all gains are 1.
    """
    seen = np.stack([_seen(name, sources, width) for name in channels], axis=1)
    return np.ones_like(seen) if np.isnan(seen).all() else np.nan_to_num(seen)


def _seen(channel: str, sources: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Gain (s,) of one channel; NaN if its position is unknown."""
    unknown = np.full(3, np.nan)
    places = np.stack([_places().get(name, unknown) for name in channel.upper().split("-")])
    squares = ((places[:, None] - sources[None]) ** 2).sum(axis=2)
    each = np.exp(-squares / (2 * np.square(width)))
    seen: np.ndarray = each[0] if len(each) == 1 else each[0] - each[1]
    return seen


TCP19 = tuple(
    ["FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T3", "C3", "CZ", "C4", "T4", "T5", "P3", "PZ", "P4", "T6", "O1", "O2"]
)
RENAMED = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
LABEL = re.compile(r"(?:EEG\s+)?([A-Z0-9]+)\.*(?:-(?:REF|LE|AR))?")


def electrode(label: str) -> str:
    """Electrode of the 10–20 system that a channel's label names.

    `EEG FP1-REF`, `Fp1.` and `fp1-LE` give FP1; T7 gives T3. Any other label, including a bipolar channel such as `FP1-F7`, is
    returned in capitals.
    """
    label = label.strip().upper()
    match = LABEL.fullmatch(label)
    name = match[1] if match else label
    return RENAMED.get(name, name)


@cache
def known_electrodes() -> tuple[str, ...]:
    """Electrodes of the 10–05 system, which includes the 10–20 and 10–10 systems.

    A file's other channels are not EEG.
    """
    return tuple(dict.fromkeys(map(electrode, mne.channels.make_standard_montage("colin27_1005").ch_names)))
