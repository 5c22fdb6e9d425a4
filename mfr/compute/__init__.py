"""Shared numerics: seeds, compiled loops, threads, sparse products and devices."""
