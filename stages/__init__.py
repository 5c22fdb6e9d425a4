"""The pipeline's stages: each reads files, calls `mfr` and writes files."""

import os

# Threads that wait for each other spin; where more of them than cores run side by side, that can cost ten times the work.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
