"""Rows: their sources, their splits, and files of predictions."""
