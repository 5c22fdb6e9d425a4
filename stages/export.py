"""Write the SAEs of one ensemble as folders that SAELens loads, but for those that would not be the same there."""

import argparse
import json
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from mfr import paths
from mfr.devices import limit_threads, resolve_device
from mfr.language_model import ModelManifest
from mfr.params import Execution, Params
from mfr.sae_file import check_size, read_saes
from mfr.saelens import Origin, negative_shares, write_sae
from mfr.store import Vectors
from stages.common import call, find_method, stage_parser, writing


class Exported(BaseModel):
    """What became of one SAE: its folder, or why there is none.

    `negative_share` is the share of the latents kept active on held-out vectors that SAELens would set to zero.
    """

    sae: int
    k: int
    status: Literal["exported", "refused"]
    negative_share: float
    folder: str | None = None
    reason: str | None = None


def run(weights: Path, card: Path, heldout: Path, output: Path, execution: Execution) -> None:
    """Write the folder `output`: a folder for each SAE that can be exported, and export.json, which tells of all."""
    limit_threads(execution.threads)
    saes = read_saes(weights, card).to(resolve_device(execution.device))
    with writing(output) as [part], Vectors(heldout) as vectors:
        check_size(vectors, saes, weights)
        part.mkdir()
        told = [_told(i, k, share) for i, (k, share) in enumerate(zip(saes.k, negative_shares(vectors, saes), strict=True))]
        for exported in told:
            if exported.folder:
                write_sae(part / exported.folder, saes, exported.sae, origin(vectors))
        (part / "export.json").write_text(json.dumps([one.model_dump(exclude_none=True) for one in told], indent=2) + "\n")
    for one in told:
        print(f"SAE {one.sae} (k = {one.k}): {one.status}" + (f": {one.reason}" if one.reason else ""))


def _told(sae: int, k: int, share: float) -> Exported:
    if share == 0:
        return Exported(sae=sae, k=k, status="exported", negative_share=share, folder=f"sae_{sae}_k{k}")
    reason = (
        f"{100 * share:.2g} % of the latents that it keeps active on held-out vectors are negative, and SAELens would set them "
        "to zero: train with activation: topk_relu"
    )
    return Exported(sae=sae, k=k, status="refused", negative_share=share, reason=reason)


def origin(vectors: Vectors) -> Origin:
    """Where the vectors come from, as far as a language model's file says it."""
    if vectors.source != "language_model":
        return Origin()
    model = ModelManifest.model_validate_json(vectors.fact("model"))
    return Origin(
        model_name=str(paths.MODEL) if model.reference == "." else model.reference,
        model_revision=model.revision,
        model_weights_sha256=model.weights_sha256,
        hook_name=vectors.fact("hook"),
        context_size=vectors.attached("tokens").shape[1],
        prepend_bos=True,
    )


def _stage(arguments: argparse.Namespace, params: Params) -> None:
    source, method, seed = arguments.source, arguments.method, arguments.seed
    find_method(params.source(source), method)
    weights, card = paths.saes(source, method, seed), paths.saes_card(source, method, seed)
    run(weights, card, paths.vectors(source, "heldout"), paths.export(source, method, seed), params.execution)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return call(_stage, stage_parser("stages.export", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
