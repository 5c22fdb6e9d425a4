"""Damage every kind of file that one stage writes and another reads, and read it as the stages do.

`python -m tests.support.damage CASES` in a project that `make` filled. A process of its own: compiled readers may crash.
"""

import faulthandler
import hashlib
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import mfr
from mfr.comparison import eeg
from mfr.comparison.runs import Run, Runs
from mfr.config.experiment import Params
from mfr.config.load import load
from mfr.config.synthetic import GenerateSynthetic
from mfr.evaluation.files import checked_activity
from mfr.export.saelens import write_sae
from mfr.runtime import paths
from mfr.runtime.errors import UserError
from mfr.runtime.resume import Parts
from mfr.saes.ensemble import Ensemble
from mfr.sources.eeg.recordings import recording_manifest
from mfr.sources.language_model.model import ModelManifest
from mfr.sources.manifest import MANIFEST, read_manifest
from mfr.sources.source import Origin
from mfr.training import checkpoint
from mfr.training.trainer import Saving, Trainer
from mfr.vectors.reader import Vectors
from stages import denoise, evaluate, generate_synthetic, prepare_recordings, preprocess_eeg, train
from tests.support.small_training import CPU, METHODS, settings

RUNS = [Run("eeg", method, 0) for method in ("baseline", "mfr")]
KEYS = ("first", "second")
ABSENT = "absent"
DAMAGES = ["bit", "bit", "cut", "twice", "zeros", "splice", "swap", "number", "number", "insert", "text", "empty", "folder"]


def make() -> None:
    """Fill the working folder, whose params.yaml is the experiment smoke, with a file of every kind."""
    small = GenerateSynthetic(dimension=10, features=24, groups=4, train_rows=300, heldout_rows=50)
    generate_synthetic.run(small, paths.vectors("synthetic", "train"), paths.vectors("synthetic", "heldout"))
    assert prepare_recordings.main([]) == 0 and preprocess_eeg.main([]) == 0
    for run in RUNS:
        words = ["--method", run.method, "--seed", "0"]
        assert train.main(["--source", "eeg", *words]) == 0 and evaluate.main(["--source", "eeg", *words]) == 0
        assert denoise.main(words) == 0
    paths.MODEL.mkdir(parents=True)
    (paths.MODEL / MANIFEST).write_text(ModelManifest(reference="gpt2", revision="abc").text())
    write_sae(Path("exports/sae_0"), Ensemble.random([3], 20, 8, "topk_relu", 0), 0, Origin())
    write_sae(Path("exports/sae_1"), Ensemble.random([3], 20, 8, "topk_relu", 1), 0, Origin())
    parts = Parts(Path("parts"), "key")
    for name in KEYS:
        parts.put(name, name.encode() * 50)
        with Vectors(paths.vectors("synthetic", "train")) as vectors:
            trainer = Trainer(vectors, settings(steps=7), METHODS["mfr"], 0, CPU)
            trainer.run(_saving(name))
            trainer.saved_step = 0
            trainer.save(_saving(name))


def _saving(key: str) -> Saving:
    return Saving(Path("checkpoints") / key, key, every_s=1e9)


@dataclass(frozen=True)
class Kind:
    """A file, another file of its kind, and how the stages read the first; `exact` if any other content is noticed."""

    path: Path
    other: Path
    read: Callable[[], object]
    exact: bool = True


def kinds(params: Params) -> list[Kind]:
    """Every kind of file."""
    runs = Runs("eeg", params.source("eeg"), RUNS)
    first, second = RUNS
    found = []
    for source in ("eeg", "synthetic"):
        places = [paths.vectors(source, split) for split in ("train", "heldout")]
        found += [Kind(*pair, lambda path=pair[0]: _vectors(path)) for pair in (places, places[::-1])]
    for place in (paths.saes, paths.saes_card):
        found.append(Kind(first.path(place), second.path(place), lambda: vars(mfr.load(first.path(paths.saes).parent))))
    for place, read in ((paths.curves, first.curves), (paths.features, first.latents), (paths.evaluation, first.latents)):
        found.append(Kind(first.path(place), second.path(place), read))
    found.append(Kind(first.path(paths.activity), second.path(paths.activity), _activity))
    both = Runs("eeg", runs.section, RUNS[:1]), Runs("eeg", runs.section, RUNS[1:])
    found.append(
        Kind(paths.evaluation("eeg", "mfr", 0), paths.evaluation("eeg", "baseline", 0), lambda: _fresh(both[1]).evaluations)
    )
    found.append(Kind(paths.denoising("mfr", 0), paths.denoising("baseline", 0), lambda: eeg.numbers(_fresh(runs))))
    found.append(Kind(paths.RECORDINGS_TABLE, first.path(paths.curves), lambda: eeg.numbers(_fresh(runs))))
    manifests = paths.RECORDINGS / MANIFEST, paths.MODEL / MANIFEST
    found.append(Kind(*manifests, lambda: recording_manifest(paths.RECORDINGS)))
    found.append(Kind(*manifests[::-1], lambda: read_manifest(ModelManifest, paths.MODEL, "prepare_model")))
    for name in ("sae_weights.safetensors", "cfg.json"):
        found.append(Kind(Path("exports/sae_0") / name, Path("exports/sae_1") / name, lambda: mfr.load("exports/sae_0"), False))
    found.append(Kind(Path("parts/first.part"), Path("parts/second.part"), lambda: _piece("first")))
    found.append(Kind(Path("parts/key"), Path("parts/first.part"), lambda: _piece("first")))
    found.append(Kind(Path("checkpoints/first"), Path("checkpoints/second"), _checkpoint))
    return found


def _fresh(runs: Runs) -> Runs:
    return Runs(runs.source, runs.section, runs.runs)


def _vectors(path: Path) -> object:
    with Vectors(path) as vectors:
        columns = {name: vectors.attached(name) for name in vectors.file}
        return vectors.identity(), vectors.read(0, vectors.rows), columns, vectors.fact("parameters")


def _activity() -> pd.DataFrame:
    with Vectors(paths.vectors("eeg", "heldout")) as vectors:
        return pd.read_parquet(checked_activity("eeg", "baseline", 0, vectors.identity()))


def _piece(name: str) -> object:
    parts = Parts(Path("parts"), "key")
    return parts.get(name) if name in parts else ABSENT


def _checkpoint() -> object:
    try:
        return checkpoint.load(Path("checkpoints/first"), "first") or ABSENT
    except checkpoint.NotResumableError:
        return ABSENT


def damaged(content: bytes, other: bytes, chance: random.Random) -> bytes | None:
    """Another content of a file, None for a folder in its place."""

    def span(length: int) -> slice:
        start = chance.randrange(length + 1)
        return slice(start, min(length, start + chance.choice((1, 7, 64, 4096))))

    own, foreign, place = span(len(content)), span(len(other)), chance.randrange(len(content))
    changed = bytearray(content)
    kind = chance.choice(DAMAGES)
    if kind == "bit":
        # Half of them in the first 2000 bytes, where binary files say what they are.
        changed[place if chance.random() < 0.5 else place % 2000] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del changed[place:]
    elif kind == "twice":
        changed[own.start : own.start] = content[own]
    elif kind == "zeros":
        changed[own] = bytes(own.stop - own.start)
    elif kind == "splice":
        changed[own] = other[foreign]
    elif kind == "swap":
        return other
    elif kind == "number":
        digits = [found.start() for found in re.finditer(rb"\d", content)]
        at = chance.choice(digits) if digits else place
        changed[at] = ord(chance.choice("0123456789"))
    elif kind == "insert":
        changed[place:place] = chance.randbytes(chance.choice((1, 30)))
    elif kind == "text":
        return chance.choice((b"no such thing\n", b"{}\n", b"[" * 100_000, b"null", b'{"sha256": 1}', b"\xff\xfe"))
    else:
        return b"" if kind == "empty" else None
    return bytes(changed)


def _outcome(read: Callable[[], object]) -> str:
    try:
        found = read()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 400, f"not one line: {error}"
        return f"error: {error}"
    return ABSENT if isinstance(found, str) else hashlib.sha256(b"\n".join(_flat(found))).hexdigest()


def _flat(found: object) -> Iterator[bytes]:
    """Everything in what a reader returned."""
    if isinstance(found, dict):
        found = [*found.items()]
    if isinstance(found, list | tuple):
        for one in found:
            yield from _flat(one)
    elif isinstance(found, torch.Tensor | np.ndarray):
        yield np.asarray(found).tobytes()
    else:
        yield (found.to_csv() if isinstance(found, pd.DataFrame) else repr(found)).encode()


def main(cases: int) -> None:
    """Damage files `cases` times; print what was accepted, or what failed otherwise, and the number of refusals."""
    faulthandler.enable()
    every = kinds(load(Path("params.yaml")))
    sound = [_outcome(kind.read) for kind in every]
    assert not [one for one in sound if one == ABSENT or one.startswith("error")], sound
    assert sound == [_outcome(kind.read) for kind in every]
    refused = 0
    for case in range(cases):
        kind, expected = every[case % len(every)], sound[case % len(every)]
        content = kind.path.read_bytes()
        changed = damaged(content, kind.other.read_bytes(), random.Random(case))
        kept = shutil.copytree("parts", "kept-parts", dirs_exist_ok=True)
        if changed is None:
            kind.path.unlink()
            kind.path.mkdir()
        else:
            kind.path.write_bytes(changed)
        print(f"case {case}: {kind.path}", flush=True)
        outcome = _outcome(kind.read)
        if kind.exact and outcome not in (expected, ABSENT) and not outcome.startswith("error"):
            print(f"ACCEPTED {case}: {kind.path}")
        refused += outcome != expected
        shutil.rmtree("parts", ignore_errors=True)
        shutil.move(kept, "parts")
        if kind.path.is_dir():
            kind.path.rmdir()
        kind.path.write_bytes(content)
    print(json.dumps({"cases": cases, "refused": refused}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
