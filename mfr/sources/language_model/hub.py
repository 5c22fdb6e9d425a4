"""Resolve a name on the Hugging Face hub to a commit."""

from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (  # type: ignore[attr-defined, unused-ignore]  # HTTPError is not re-exported
    GatedRepoError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mfr.runtime.errors import UserError, first_sentence

ANSWER_S = 5.0


def commit_of(name: str, kind: Literal["model", "dataset"], revision: str | None = None) -> str:
    """Commit of a model's or data set's `revision` (default: its main branch) on the hub.

    Asks the hub once, without the retries of a download, then looks for a model in the local cache. Raises `UserError` if
    the name or revision does not exist, needs permission, or cannot be looked up because the hub is unreachable.
    """
    try:
        info = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=ANSWER_S)
    except HFValidationError:
        raise UserError(
            f"{kind} {name!r}: neither a local folder nor a valid name on the Hugging Face hub; correct the name"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"{kind} {name!r}: needs its owner's permission; request access on its Hugging Face page, then run `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{kind} {name!r}: found neither as a local folder nor on the Hugging Face hub; correct the name, or run "
            "`hf auth login` if it is private"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{kind} {name!r}: no revision {revision!r} on the Hugging Face hub; correct the revision") from None
    except (OSError, HTTPError) as error:
        cached = try_to_load_from_cache(name, "config.json", revision=revision) if kind == "model" else None
        if isinstance(cached, str):
            return Path(cached).parent.name
        raise UserError(
            f"{kind} {name!r}: not a local folder, and the Hugging Face hub cannot be reached ({first_sentence(error)}); "
            "give a local folder, or run with network access"
        ) from None
    if info.sha is None:
        raise UserError(f"{kind} {name!r}: the Hugging Face hub reports no commit; give a local folder")
    return info.sha
