"""The current time, in the form of records."""

from __future__ import annotations

from datetime import UTC, datetime


def format_now(timespec: str = "seconds") -> str:
    """The time in UTC. timespec: how exact, as in `datetime.isoformat`."""
    return datetime.now(UTC).isoformat(timespec=timespec)
