"""Sparse autoencoders with Mutual Feature Regularization: the library under the pipeline."""
