"""Run SAELens' TopK training step on demand, for `benchmarks.training_step` to time.

It runs in an environment of its own, because its dependencies conflict with ours. Each line on standard input asks for one step
of all SAEs; one line on standard output reports that it is done.
"""

import argparse
import sys

import numpy as np
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

STEPS = 100_000


def main() -> None:
    """Answer requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, required=True, help="latents of each SAE")
    parser.add_argument("--k", type=int, nargs="+", required=True, help="active latents of each SAE")
    parser.add_argument("--vectors", required=True, help="a batch (B, d) as .npy")
    parser.add_argument("--threads", type=int, required=True, help="threads that compute")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x = torch.from_numpy(np.load(arguments.vectors))
    trainers = [_trainer(x.shape[1], arguments.hidden, k, len(x)) for k in arguments.k]
    for _ in sys.stdin:
        for trainer in trainers:
            trainer._train_step(sae=trainer.sae, sae_in=x)
            trainer.n_training_steps += 1
        print("done", flush=True)


def _trainer(size: int, hidden: int, k: int, batch: int) -> SAETrainer:
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=size, d_sae=hidden, k=k))
    settings = SAETrainerConfig(total_training_samples=STEPS * batch, train_batch_size_samples=batch, lr=1e-3, lr_end=1e-3)
    return SAETrainer(cfg=settings, sae=sae, data_provider=iter([]))


if __name__ == "__main__":
    main()
