"""Mutual Feature Regularization and its rivals: what a method adds to a training step."""
