"""Where vectors come from: one subpackage per source and the interface they share."""
