"""Formats counts and times for reports, messages and errors."""

from __future__ import annotations

from datetime import UTC, datetime

from slimgate._system.escape import escape


def format_count(number: int, singular: str, plural: str) -> str:
    """`1 budget holds`, `1,204 budgets hold`."""
    return f"{number:,} {singular if number == 1 else plural}"


def format_moment(text: str) -> str:
    """`2026-11-20 08:15 UTC` for a time of a record. Any other text stays as it is, escaped."""
    try:
        time = datetime.fromisoformat(text)
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):  # no time, or one before the year 1 in UTC
        return escape(text)
