"""Benchmarks of training, of preprocessing EEG and of dumping activations."""

# Sets how threads wait for each other, as in a stage.
import stages  # noqa: F401
