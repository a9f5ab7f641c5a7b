"""Logs of two models: found, read into columns, compared, paired and judged."""
