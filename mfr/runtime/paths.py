"""Path of every artefact, relative to the project's folder.

The functions take plain strings, so that an engine can pass a wildcard such as `"{seed}"` for any argument.
"""

from pathlib import Path

MODEL = Path("data/language_model/model")
RECORDINGS = Path("data/eeg/recordings")
RECORDINGS_TABLE = Path("data/eeg/recordings.csv")
RECORDINGS_FAILED = Path("logs/eeg/recordings.csv")  # the same table of a run that stopped; not an output, which engines delete
SCRATCH = Path("scratch")
SAES, CARD = "saes.safetensors", "saes.json"  # in the folder of a run


def vectors(source: str, split: str) -> Path:
    """Vectors of one source; `split` is `train`, `heldout` or, only for EEG, `validation`."""
    return Path(f"data/{source}/{split}.h5")


def saes(source: str, method: str, seed: str | int) -> Path:
    """Weights of one ensemble."""
    return Path(f"runs/{source}/{method}/{seed}") / SAES


def saes_card(source: str, method: str, seed: str | int) -> Path:
    """Card of one ensemble: its shape, settings and provenance."""
    return Path(f"runs/{source}/{method}/{seed}") / CARD


def curves(source: str, method: str, seed: str | int) -> Path:
    """Learning curves of one ensemble."""
    return Path(f"runs/{source}/{method}/{seed}/curves.csv")


def evaluation(source: str, method: str, seed: str | int) -> Path:
    """Metrics of one ensemble on held-out vectors."""
    return Path(f"runs/{source}/{method}/{seed}/evaluation.json")


def features(source: str, method: str, seed: str | int) -> Path:
    """Table of one ensemble's latents, one row per latent."""
    return Path(f"runs/{source}/{method}/{seed}/features.csv")


def activity(source: str, method: str, seed: str | int) -> Path:
    """When each latent of one ensemble is active, one row per latent."""
    return Path(f"runs/{source}/{method}/{seed}/activity.parquet")


def export(source: str, method: str, seed: str | int) -> Path:
    """Folder of one ensemble in SAELens format, one subfolder per SAE."""
    return Path(f"exports/{source}/{method}/{seed}")


def descriptions(source: str) -> Path:
    """Folder of the latent descriptions of one source."""
    return Path(f"features/{source}")


def description(source: str, method: str, seed: str | int) -> Path:
    """Descriptions of one ensemble, one row per latent."""
    return descriptions(source) / method / str(seed) / "features.parquet"


def denoising(method: str, seed: str | int) -> Path:
    """Denoising scores of one ensemble trained on EEG."""
    return Path(f"runs/eeg/{method}/{seed}/denoising.json")


def checkpoint(source: str, method: str, seed: str | int) -> Path:
    """Checkpoint of an ensemble in training; not an output."""
    return SCRATCH / "checkpoints" / f"{source}-{method}-{seed}.safetensors"


def parts(stage: str) -> Path:
    """Folder of the finished pieces of a stage's long job; not an output."""
    return SCRATCH / "parts" / stage


def metrics(source: str) -> Path:
    """Metrics of all methods of one source, over seeds."""
    return Path(f"metrics/{source}.json")


def results(source: str) -> Path:
    """Folder of one source's tables and figures."""
    return Path(f"results/{source}")


def result(source: str, name: str) -> Path:
    """Table or figure of one source, such as `summary.csv`."""
    return results(source) / name


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced; unchanged if it names an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def maker(path: Path) -> str | None:
    """Stage that makes a file of the project, `the stage that makes it` if its name does not say; None for other files."""
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    for folder, stage in ((MODEL, "prepare_model"), (RECORDINGS, "prepare_recordings")):
        if path.is_relative_to(folder):
            return stage
    return _MAKERS.get(f"{path.parts[0]}/*/{path.name}", _MAKERS.get(path.parts[0])) if path.parts else None


_MAKERS = {
    "data": "the stage that makes it",
    "runs": "the stage that makes it",
    f"runs/*/{SAES}": "train",
    f"runs/*/{CARD}": "train",
    "runs/*/curves.csv": "train",
    "runs/*/evaluation.json": "evaluate",
    "runs/*/features.csv": "evaluate",
    "runs/*/activity.parquet": "evaluate",
    "runs/*/denoising.json": "denoise",
    "exports": "export",
    "features": "describe",
    "metrics": "compare",
    "results": "compare",
}
