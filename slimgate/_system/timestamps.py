"""The time, as records have it."""

from __future__ import annotations

from datetime import UTC, datetime


def format_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
