"""Readers of evaluation tools' logs, one file per tool; a file's public name is the name of `--format`."""
