"""What the two engines need beside the stages."""

from mfr.runtime.interruption import die_silently_while_importing

die_silently_while_importing()
