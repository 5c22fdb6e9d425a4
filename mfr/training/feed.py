"""Feed training with batches that are ready when a step needs them, on the step's device.

Batches for a GPU wait in pinned memory, so that copying them does not block the step. Drawn vectors travel as codes, a
fraction of their size, and are combined on the GPU, which rounds the last bit of a sum differently than the CPU.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from mfr.compute.threads import prefetched
from mfr.config.training import Train
from mfr.training.inputs import Scaling
from mfr.vectors.reader import Vectors

AHEAD = 4


def batches(
    vectors: Vectors, settings: Train, scaling: Scaling, seed: int, first: int, device: torch.device
) -> Generator[torch.Tensor]:
    """Training batches (B, d) on `device` from step `first` on, scaled if `settings.inputs` says so.

    A thread prepares batches ahead if they come from a file or go to a GPU. Otherwise all cores are already at work.
    """
    if device.type == "cuda":
        return _on_gpu(vectors, settings, scaling, seed, first, device)
    found = vectors.batches(settings.batch, seed, first)
    if settings.inputs == "scaled":
        found = (scaling.apply_(x) for x in found)
    return found if vectors.drawn else prefetched(found, AHEAD)


def _on_gpu(
    vectors: Vectors, settings: Train, scaling: Scaling, seed: int, first: int, device: torch.device
) -> Generator[torch.Tensor]:
    scaling = replace(scaling, mean=scaling.mean.to(device))
    features = vectors.features.to(device) if vectors.drawn and vectors.features is not None else None
    with closing(prefetched(_pinned(vectors, settings.batch, seed, first), AHEAD)) as waiting:
        for parts in waiting:
            copied = [part.to(device, non_blocking=True) for part in parts]
            x = copied[0] if features is None else combined(features, *copied)
            yield scaling.apply_(x) if settings.inputs == "scaled" else x


def _pinned(vectors: Vectors, batch: int, seed: int, first: int) -> Iterator[list[torch.Tensor]]:
    """Each batch in pinned memory: its vectors, or its codes if they are drawn."""
    if not vectors.drawn:
        yield from ([x.pin_memory()] for x in vectors.batches(batch, seed, first))
        return
    for active, coefficients in vectors.codes(batch, seed, first):
        # torch computes little with uint16.
        yield [torch.from_numpy(part).pin_memory() for part in (active.view(np.int16), coefficients)]


def combined(features: torch.Tensor, active: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """Vectors (B, d) from codes: Σ_j coefficients_j · features_{active_j}, on the device of all three.

    features (G, d), coefficients (B, a), and active (B, a): the bits of uint16 as int16.
    """
    return embedding_bag(active.int() & 0xFFFF, features, per_sample_weights=coefficients, mode="sum")
