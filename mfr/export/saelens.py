"""Write SAEs in the folders that SAELens 6.54 reads: `sae_weights.safetensors`, `cfg.json`.

SAELens' TopK always sets negative values to zero, so a `topk` SAE is the same there only if it keeps no negative latent.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save

from mfr.saes.ensemble import Ensemble
from mfr.saes.files import EXPORTED, EXPORTED_CARD
from mfr.sources.source import Origin
from mfr.vectors.reader import Vectors

VERSION = "6.54.12"
ROWS_AT_ONCE = 4096


def negative_shares(vectors: Vectors, saes: Ensemble) -> list[float]:
    """Share of negative values among the latents that each SAE keeps active on `vectors`."""
    negative = torch.zeros(len(saes.k), dtype=torch.int64)
    for rows in vectors.sequential(ROWS_AT_ONCE):
        x = rows.to(saes.W.device)
        negative += torch.tensor([int((saes.encode(i, x)[0] < 0).sum()) for i in range(len(saes.k))])
    return (negative / (vectors.rows * torch.tensor(saes.k))).tolist()


def write_sae(folder: Path, saes: Ensemble, sae: int, origin: Origin) -> None:
    """Write one SAE to the new folder `folder`.

    Its decoder is the encoder's rows at unit length (tied weights).
    """
    W = saes.W[sae].cpu()
    weights = {
        "W_enc": W.T.contiguous(),
        "b_enc": saes.b[sae].cpu(),
        "W_dec": W / W.norm(dim=1, keepdim=True),
        "b_dec": saes.offset.cpu(),
    }
    # Without sae_lens_version, SAELens takes the file for an older version's and drops the metadata.
    versions = {"sae_lens_version": VERSION, "sae_lens_training_version": None}
    config = {
        "architecture": "topk",
        "d_in": W.shape[1],
        "d_sae": W.shape[0],
        "k": saes.k[sae],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": versions | {name: value for name, value in vars(origin).items() if value is not None},
    }
    folder.mkdir(parents=True)
    (folder / EXPORTED).write_bytes(save(weights))
    (folder / EXPORTED_CARD).write_text(json.dumps(config, indent=2) + "\n")
