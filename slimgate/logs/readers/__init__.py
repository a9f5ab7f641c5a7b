"""Readers of evaluation tools' logs, one file a tool; a file's public name is the name of `--format`."""
