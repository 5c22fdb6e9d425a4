"""Sparse autoencoders (SAEs) with Mutual Feature Regularization: read trained ensembles, vectors and parameters.

    import mfr

    saes = mfr.load("runs/language_model/baseline/0")
    with mfr.Vectors("data/language_model/heldout.h5") as vectors:
        x = vectors.read(0, 1000)
    values, latents = saes.encode(0, x)

Names are imported when they are first used, so that a stage imports only its own packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfr.config.experiment import Params
    from mfr.saes.ensemble import Ensemble
    from mfr.saes.files import load
    from mfr.vectors.reader import Vectors

__version__ = "0.2.0"
__all__ = ["Ensemble", "Params", "Vectors", "__version__", "load"]

_MODULES = {
    "Ensemble": "mfr.saes.ensemble",
    "Params": "mfr.config.experiment",
    "Vectors": "mfr.vectors.reader",
    "load": "mfr.saes.files",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'mfr' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
