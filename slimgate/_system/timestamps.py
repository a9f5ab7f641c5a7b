"""The current time in the form of records, and such a time in the form of reports."""

from __future__ import annotations

from datetime import UTC, datetime

from slimgate._system.escape import escape


def format_now(timespec: str = "seconds") -> str:
    """The time in UTC. timespec: how exact, as in `datetime.isoformat`."""
    return datetime.now(UTC).isoformat(timespec=timespec)


def format_moment(text: str) -> str:
    """`2026-11-20 08:15 UTC` for a time of a record. Any other text stays as it is, escaped."""
    try:
        time = datetime.fromisoformat(text)
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):  # no time, or one before the year 1 in UTC
        return escape(text)
