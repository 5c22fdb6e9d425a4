"""The Hugging Face hub: which commit a name stands for, or why that cannot be told."""

from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HFValidationError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

from mfr.runtime.errors import UserError

ANSWER_S = 5.0


def commit_of(name: str, kind: Literal["model", "dataset"], revision: str | None = None) -> str:
    """The commit of a model's or data set's `revision` (default: its main branch), asked of the hub.

    Asks once, without the retries of a download, and then looks for a model in the local cache. Raises `UserError` where
    nothing is called so and where the hub cannot be reached.
    """
    try:
        info = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=ANSWER_S)
    except HFValidationError:
        raise UserError(
            f"{kind} {name!r}: no such folder, and no name of the Hugging Face hub: give one or the other"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"{kind} {name!r} needs its owner's leave: ask for it on its page of the hub, then `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{kind} {name!r}: neither a folder here nor a name on the Hugging Face hub: correct the name"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{kind} {name!r} has no revision {revision!r} on the Hugging Face hub: correct the revision") from None
    except (OSError, HTTPError) as error:
        cached = try_to_load_from_cache(name, "config.json", revision=revision) if kind == "model" else None
        if isinstance(cached, str):
            return Path(cached).parent.name
        first_line = str(error).partition("\n")[0]
        raise UserError(
            f"{kind} {name!r}: no such folder here, and the Hugging Face hub cannot be reached ({first_line}): "
            "give a local folder, or run with a network"
        ) from None
    if info.sha is None:
        raise UserError(f"{kind} {name!r}: the Hugging Face hub names no commit: give a local folder")
    return info.sha
