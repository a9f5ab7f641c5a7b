"""Errors of a user's code, with the line that raised them."""

from __future__ import annotations

from pathlib import Path
from traceback import FrameSummary, extract_tb

from slimgate._system.code_reads import is_users_source
from slimgate.errors import format_error


def format_user_error(error: Exception) -> str:
    """`ZeroDivisionError: division by zero (cut.py, line 10)`, with the user's innermost line.

    A library that the user's code calls may raise the error, but its lines say nothing about the mistake. If
    no line is the user's, the text names none.
    """
    lines = _list_users_lines(error)
    place = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""
    return f"{format_error(error)}{place}"


def has_users_line(error: Exception) -> bool:
    """Whether a user's code raised an error, or called what raised it."""
    return bool(_list_users_lines(error))


def _list_users_lines(error: Exception) -> list[FrameSummary]:
    """The user's lines between where an error is caught and where it was raised."""
    return [line for line in extract_tb(error.__traceback__) if is_users_source(line.filename)]
