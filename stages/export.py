"""Export one ensemble's SAEs for SAELens, except those that would behave differently there."""

import argparse
import json
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from mfr.compute.devices import limit_threads, resolve_device
from mfr.config.experiment import Execution, Params
from mfr.export.saelens import negative_shares, write_sae
from mfr.runtime import paths
from mfr.runtime.files import writing
from mfr.runtime.wording import counted
from mfr.saes.files import check_size, read_saes
from mfr.saes.identity import check_card
from mfr.sources.source import source
from mfr.vectors.reader import Vectors
from stages.common import call, find_method, stage_parser


class Exported(BaseModel):
    """The outcome for one SAE: its folder, or the reason why there is none.

    `negative_share` is the share of the latents kept active on held-out vectors that SAELens would set to zero.
    """

    sae: int
    k: int
    status: Literal["exported", "refused"]
    negative_share: float
    folder: str | None = None
    reason: str | None = None


def run(weights: Path, card: Path, heldout: Path, output: Path, execution: Execution) -> list[Exported]:
    """Write one folder per SAE that can be exported, and export.json, which lists all SAEs."""
    limit_threads(execution.threads)
    saes = read_saes(weights, card).to(resolve_device(execution.device))
    with writing(output) as [part], Vectors(heldout) as vectors:
        check_size(vectors, saes, weights)
        part.mkdir()
        every = [
            _exported(i, k, share) for i, (k, share) in enumerate(zip(saes.k, negative_shares(vectors, saes), strict=True))
        ]
        for exported in every:
            if exported.folder:
                write_sae(part / exported.folder, saes, exported.sae, source(vectors.source).origin(vectors))
        (part / "export.json").write_text(json.dumps([one.model_dump(exclude_none=True) for one in every], indent=2) + "\n")
    for one in every:
        print(f"SAE {one.sae} (k = {one.k}): {one.status}" + (f": {one.reason}" if one.reason else ""))
    return every


def _exported(sae: int, k: int, share: float) -> Exported:
    if share == 0:
        return Exported(sae=sae, k=k, status="exported", negative_share=share, folder=f"sae_{sae}_k{k}")
    reason = (
        f"{100 * share:.2g} % of the latents that it keeps active on held-out vectors are negative, and SAELens would set them "
        "to zero: train with activation: topk_relu"
    )
    return Exported(sae=sae, k=k, status="refused", negative_share=share, reason=reason)


def _stage(arguments: argparse.Namespace, params: Params) -> str:
    name, method, seed = arguments.source, arguments.method, arguments.seed
    section = params.source(name)
    find_method(section, method)
    weights, card = paths.saes(name, method, seed), paths.saes_card(name, method, seed)
    check_card(card, name, section, method, seed)
    every = run(weights, card, paths.vectors(name, "heldout"), paths.export(name, method, seed), params.execution)
    return f"{sum(one.status == 'exported' for one in every)} of {counted(len(every), 'SAE')} exported"


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line; return its exit status."""
    return call(_stage, stage_parser("stages.export", __doc__, "source", "method", "seed").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
