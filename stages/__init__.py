"""The pipeline's stages: each reads files, calls `mfr` and writes files."""
