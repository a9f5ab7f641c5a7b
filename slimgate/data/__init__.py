"""Rows: where they come from, how they are split, files of predictions."""
