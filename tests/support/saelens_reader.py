"""What SAELens makes of exported folders; it runs in an environment of its own, since its dependencies clash with ours.

Usage: python saelens_reader.py VECTORS.npy FOLDER…; beside each folder it writes FOLDER.npz (latents, reconstruction) and
FOLDER.json (the metadata that it kept).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE


def main() -> None:
    x = torch.from_numpy(np.load(sys.argv[1]))
    for folder in map(Path, sys.argv[2:]):
        sae = SAE.load_from_disk(folder)
        with torch.no_grad():
            latents = sae.encode(x)
            reconstruction = sae(x)
        np.savez(folder.with_suffix(".npz"), latents=latents.numpy(), reconstruction=reconstruction.numpy())
        folder.with_suffix(".json").write_text(json.dumps(sae.cfg.metadata.to_dict()))


if __name__ == "__main__":
    main()
