"""The parameters that each stage declares: a change of their values reruns it, and it sees no others that change a result.

`dvc.yaml` lists the same keys; tests/workflow/test_graph.py holds it against this module.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from mfr.config.experiment import SECTIONS

OF_EVERY_SOURCE = {
    "train": ("{source}.train", "{source}.methods.{method}"),
    "evaluate": ("{source}.evaluate",),
    "describe": ("seeds", "{source}.methods"),
    "compare": ("seeds", "{source}.methods", "{source}.evaluate", "{source}.compare"),
}
NOTHING = "none"


def keys_of(stage: str, names: Mapping[str, str]) -> list[str]:
    """Dotted keys that a stage declares when it works on `names`, its source and method."""
    own = [f"{source}.{key}" for source, section in SECTIONS.items() for key in section.stages.get(stage, ())]
    return own + [key.format_map(names) for key in OF_EVERY_SOURCE.get(stage, ())]


def values_of(raw: object, stage: str, names: Mapping[str, str]) -> dict[str, object]:
    """What params.yaml, whose content is `raw`, gives for the keys that a stage declares; None for a missing key."""
    return {key: _value(raw, key) for key in keys_of(stage, names)}


def _value(raw: object, key: str) -> object:
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def fingerprint(values: Mapping[str, object]) -> str:
    """Short hashes of declared values, one per key, joined by commas."""
    return ",".join(_short_hash(value) for value in values.values()) or NOTHING


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def changed_since(planned: str, values: Mapping[str, object]) -> list[str]:
    """Keys of `values` whose hashes differ from those in the fingerprint `planned`."""
    then, now = planned.split(","), fingerprint(values).split(",")
    if len(then) != len(now):
        return list(values)
    return [key for key, old, new in zip(values, then, now) if old != new]


def differing(first: object, second: object, where: str = "") -> Iterator[tuple[str, object, object]]:
    """The settings that differ between two values: dotted key below `where`, and both values; None if one is missing."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in [*first, *(key for key in second if key not in first)]:
            yield from differing(first.get(key), second.get(key), f"{where}.{key}".removeprefix("."))
    elif first != second:
        yield where, first, second
