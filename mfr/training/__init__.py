"""The training loop with its inputs, learning curves and checkpoints, for the stage train."""
