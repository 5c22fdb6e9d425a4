"""How a process runs, from file writes to signals; nothing here changes a result."""
