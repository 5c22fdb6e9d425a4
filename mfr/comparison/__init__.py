"""Compare all runs of one source: metrics, tables, figures and verdicts on claims."""
