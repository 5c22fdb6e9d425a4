"""The pipeline's stages: each reads files, calls `mfr` and writes files."""

import os

from mfr.runtime.interruption import die_silently_while_importing

die_silently_while_importing()
# Waiting threads spin. If there are more threads than cores, that can cost ten times the work.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# Large tensors in large pages (Linux): rows of weights read in random order miss the processor's page tables otherwise.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
