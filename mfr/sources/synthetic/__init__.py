"""The source `synthetic`: vectors with known features."""
