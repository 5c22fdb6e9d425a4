"""Every artefact's name, once, relative to the project's folder.

The functions take plain words, so that an engine may pass a wildcard such as `"{seed}"` for any of them.
"""

from pathlib import Path

MODEL = Path("data/language_model/model")
RECORDINGS = Path("data/eeg/recordings")
RECORDINGS_TABLE = Path("data/eeg/recordings.csv")
SCRATCH = Path("scratch")


def vectors(source: str, split: str) -> Path:
    """The vectors of one source; `split` is `train`, `heldout` or, of EEG, `validation`."""
    return Path(f"data/{source}/{split}.h5")


def saes(source: str, method: str, seed: str | int) -> Path:
    """Weights of one ensemble."""
    return Path(f"runs/{source}/{method}/{seed}/saes.safetensors")


def saes_card(source: str, method: str, seed: str | int) -> Path:
    """What the weights are, and how they came about."""
    return Path(f"runs/{source}/{method}/{seed}/saes.json")


def curves(source: str, method: str, seed: str | int) -> Path:
    """Learning curves of one ensemble."""
    return Path(f"runs/{source}/{method}/{seed}/curves.csv")


def evaluation(source: str, method: str, seed: str | int) -> Path:
    """Metrics of one ensemble on held-out vectors."""
    return Path(f"runs/{source}/{method}/{seed}/evaluation.json")


def features(source: str, method: str, seed: str | int) -> Path:
    """One row for each latent of one ensemble."""
    return Path(f"runs/{source}/{method}/{seed}/features.csv")


def export(source: str, method: str, seed: str | int) -> Path:
    """The SAEs of one ensemble in SAELens' format, a folder each."""
    return Path(f"exports/{source}/{method}/{seed}")


def descriptions(source: str) -> Path:
    """The folder that holds what is known of every latent of one source."""
    return Path(f"features/{source}")


def description(source: str, method: str, seed: str | int) -> Path:
    """What is known of every latent of one ensemble."""
    return descriptions(source) / method / str(seed) / "features.parquet"


def denoising(method: str, seed: str | int) -> Path:
    """How well one ensemble trained on EEG takes noise away."""
    return Path(f"runs/eeg/{method}/{seed}/denoising.csv")


def checkpoint(source: str, method: str, seed: str | int) -> Path:
    """Where an ensemble in training is saved; not an output."""
    return SCRATCH / "checkpoints" / f"{source}-{method}-{seed}.safetensors"


def parts(stage: str) -> Path:
    """Where a stage keeps what is done of a long job; not an output."""
    return SCRATCH / "parts" / stage


def metrics(source: str) -> Path:
    """Metrics of all methods of one source, over seeds."""
    return Path(f"metrics/{source}.json")


def results(source: str) -> Path:
    """The folder of one source's tables and figures."""
    return Path(f"results/{source}")


def result(source: str, name: str) -> Path:
    """A table or figure of one source, such as `summary.csv`."""
    return results(source) / name
