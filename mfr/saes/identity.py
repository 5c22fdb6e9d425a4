"""Whether a trained ensemble is the one that params.yaml describes, and the one that another file is of."""

from pathlib import Path

from mfr.config.declared import differing
from mfr.config.source import SourceSection
from mfr.runtime.errors import UserError
from mfr.saes.files import read_card


def check_card(path: Path, source: str, section: SourceSection, method: str, seed: int) -> None:
    """Raise `UserError` unless the card at `path` is of this source, method and seed with the settings of `section`.

    The message names the first setting that differs, and both values.
    """
    card, own = read_card(path), section.methods[method]
    wanted = card.model_copy(update={"source": source, "seed": seed, "train": own.applied_to(section.train), "method": own})
    for setting, trained, given in differing(card.model_dump(), wanted.model_dump()):
        raise UserError(f"{path}: trained with {setting} = {trained}, but params.yaml gives {given}; train {method} again")


def check_measured(path: Path, saes_sha256: str, card: Path, stage: str) -> None:
    """Raise `UserError` if the file at `path`, which `stage` wrote, is of other SAEs than those that `card` describes."""
    if saes_sha256 != read_card(card).saes_sha256:
        raise UserError(f"{path}: of other SAEs than those in {path.parent}; run {stage} again")
