"""Noisy inputs for training: what SAEs see, while their reconstructions are held against the vectors as they are."""

import torch

from mfr.seeds import torch_stream


def with_white_noise(x: torch.Tensor, snr_db: float | None, seed: int, step: int) -> torch.Tensor:
    """x (B, d) plus Gaussian noise at this signal-to-noise ratio in each row; x itself where that is None.

    The noise depends on seed and step alone, so that a run that goes on sees what it would have seen, and all methods the same.
    """
    if snr_db is None:
        return x
    noise = torch.randn(x.shape, generator=torch_stream("training_noise", seed, step)).to(x.device, non_blocking=True)
    return x + noise * (x.square().mean(dim=1, keepdim=True) * 10 ** (-snr_db / 10)).sqrt()
