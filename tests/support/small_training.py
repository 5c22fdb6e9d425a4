"""Small trainings that tests share: settings, methods, where checkpoints lie."""

import hashlib
from pathlib import Path

import torch

from mfr.config.training import AuxK, Method, Penalty, Reinitialise, Train, Transplant
from mfr.runtime.paths import CARD
from mfr.saes.ensemble import Card, Ensemble
from mfr.saes.files import content
from mfr.training.trainer import Saving

CPU = torch.device("cpu")
PENALTY = Penalty(matching="hungarian", alpha="balanced", alpha_factor=0.5, warmup=6, refresh=4)
REINIT = Reinitialise(statistic="absolute", threshold=0.1, check_every=3, check_steps=9, max_reinits=2)
AUXK = AuxK(k=2, dead_after=2)
METHODS = {
    "baseline": Method(),
    "mfr": Method(penalty=PENALTY),
    "both": Method(penalty=PENALTY, reinitialise=REINIT),
    "noisy": Method(noise_db=5.0, auxk=AUXK),
    "revived": Method(auxk=AUXK, transplant=Transplant(every=3, most=1, dead_after=2), schedule="linear", learning_rate=0.02),
}
DYING = {"hidden": 96, "k": [1, 2], "batch": 16}  # settings with which latents die within the steps of a test


def settings(**changes: object) -> Train:
    values = {"hidden": 24, "k": [3, 5], "batch": 32, "steps": 20, "learning_rate": 0.01, "log_every": 4} | changes
    return Train(**values)


def saving(tmp_path: Path, every_s: float = 1e9) -> Saving:
    return Saving(tmp_path / "checkpoints" / "run.safetensors", "key", every_s)


def card(saes: Ensemble, seed: int = 0, source: str = "eeg") -> str:
    """The card of an ensemble that was not trained."""
    train = Train(hidden=saes.W.shape[1], k=saes.k, activation=saes.activation, batch=1, steps=1, learning_rate=1)
    saes_sha256 = hashlib.sha256(content(saes)).hexdigest()
    own = Card(source=source, size=saes.W.shape[2], seed=seed, train=train, method=Method(), saes_sha256=saes_sha256)
    return own.text()


def write_run(weights: Path, saes: Ensemble, seed: int = 0, source: str = "eeg") -> None:
    """Write the weights of an ensemble that was not trained, and its card beside them."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(content(saes))
    weights.with_name(CARD).write_text(card(saes, seed, source))
