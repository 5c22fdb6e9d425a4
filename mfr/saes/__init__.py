"""The SAE model: weights, training step, files on disk and similarity of dictionaries."""
