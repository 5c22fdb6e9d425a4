"""What is timed, against what; like the stages, so that threads wait as they do in a run."""

import stages  # noqa: F401
