"""Metrics of trained ensembles on held-out vectors, for the stage evaluate."""
