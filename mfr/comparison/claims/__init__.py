"""Check the paper's claims against the runs, one module per source."""
