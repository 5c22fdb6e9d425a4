"""Names of electrodes, their positions on the scalp, and their gains for sources."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache

import mne
import numpy as np

from mfr.runtime.wording import listed

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
PREFIX = r"(?:(?:EEG|POL)[\s:_-]+)?"
# References that many electrodes share, such as REF, linked ears, the average, or one ear or mastoid.
REFERENCE = r"REF\d?|C?LE|C?AR|AVG?|AVE(?:RAGE)?|COM|CMS|NOSE|LM|\(?(?:[AM][12]|A1\+?A2|M1\+?M2)\)?(?:/2)?"
LABEL = re.compile(rf"{PREFIX}([A-Z0-9]+)\.*(?:\s*[-_]\s*(?:{REFERENCE}))?")
EARS = re.compile(rf"{PREFIX}[AM][12]\s*[-_]\s*\(?[AM][12].*")  # one ear against the other
TO_EAR = re.compile(r".+\s*-\s*[AM][12]")
PAIR = re.compile(rf"{PREFIX}([A-Z0-9]+)\s*-\s*([A-Z0-9]+)")
POSITION = re.compile(r"[A-H]\d+")
FEWEST_PAIRS = 3  # with the same second electrode, for it to be a reference
SHOWN_LABELS = 6


def electrode(label: str) -> str:
    """Electrode of the 10–20 system that a channel's label names.

    `EEG FP1-REF`, `POL Fp1`, `Fp1.`, `fp1-LE` and `Fp1-A1A2` give FP1; T7 gives T3. Any other label, including a bipolar
    channel such as `FP1-F7`, is returned in capitals. `electrodes_of` also considers the other labels of the recording.
    """
    label = label.strip().upper()
    match = None if EARS.fullmatch(label) else LABEL.fullmatch(label)
    return _renamed(match[1] if match else label)


def _renamed(name: str) -> str:
    return RENAMED.get(name, name)


def electrodes_of(labels: Sequence[str]) -> list[str]:
    """Electrode that each label of a recording names, as `electrode` does, judged by all labels.

    - If all pairs of electrodes have one second electrode, as in `EEG Fp1-Pz`, `EEG Fp2-Pz`, …, it is the reference.
    - Among bipolar channels, `T4-A2` is one of them.
    - If a recording numbers its channels as BioSemi's caps do (A1 to A32, B1 to B32, …), A1, A2, C3 and the like are not those
      of the 10–20 system. They are then called `BIOSEMI A1`.
    """
    names = list(map(electrode, labels))
    pairs = {n: pair for n, name in enumerate(names) if (pair := _pair(name))}
    to_ear = [n for n, label in enumerate(labels) if TO_EAR.fullmatch(label.strip().upper())]
    if len(pairs) >= FEWEST_PAIRS and len({second for _, second in pairs.values()}) == 1:
        names = [pairs[n][0] if n in pairs else name for n, name in enumerate(names)]
    elif pairs and len(pairs) >= len(to_ear):
        names = [labels[n].strip().upper() if n in to_ear else name for n, name in enumerate(names)]
    known = set(known_electrodes())
    numbered = {name for name in names if POSITION.fullmatch(name)}
    letters = {name[0] for name in numbered - known}
    caps = letters | {"A"} if letters & {"A", "B"} else set()
    return [f"BIOSEMI {name}" if name in numbered & known and name[0] in caps else name for name in names]


def _pair(name: str) -> tuple[str, str] | None:
    """The electrodes of a bipolar channel; None if it is not bipolar, or if one of them is unknown."""
    match = PAIR.fullmatch(name)
    pair = (_renamed(match[1]), _renamed(match[2])) if match else ("", "")
    return pair if set(pair) <= set(known_electrodes()) else None


def channels_of(labels: Sequence[str], electrodes: Sequence[str]) -> list[list[int]]:
    """Indices of the channels of each of `electrodes`, which may be bipolar, among the channels of a recording."""
    named: dict[str, list[int]] = {}
    for channel, (name, label) in enumerate(zip(electrodes_of(labels), labels, strict=True)):
        plain = electrode(label)
        for each in {name, plain} if "-" in plain else {name}:
            named.setdefault(each, []).append(channel)
    return [named.get(name, []) for name in electrodes]


def describe_labels(labels: Sequence[str], missing: str = "") -> str:
    """What labels a recording has, and which is most like the electrode `missing`."""
    if not labels:
        return "it has no EEG channel"
    near = [label for label in labels if missing in label.upper()] or get_close_matches(missing, labels, n=1)
    likest = f" (most like {missing}: {near[0]})" if near and missing else ""
    return f"its {'label is' if len(labels) == 1 else 'labels are'} {listed(labels, SHOWN_LABELS)}{likest}"


@cache
def known_electrodes() -> tuple[str, ...]:
    """Electrodes of the 10–05 system, which includes the 10–20 and 10–10 systems.

    A file's other channels are not EEG.
    """
    return tuple(dict.fromkeys(map(electrode, mne.channels.make_standard_montage("colin27_1005").ch_names)))
