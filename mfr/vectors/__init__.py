"""Vectors on disk: HDF5 files, written row by row, read in order or in shuffled batches."""
