"""EEG recordings as a source of vectors: each vector is a standardised window."""
