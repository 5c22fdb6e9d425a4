"""Draw the figures of the results: those of every source, and those of a single source."""
