"""Every parameter of an experiment, typed and checked."""
