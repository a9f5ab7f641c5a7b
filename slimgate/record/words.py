"""Counts and moments in words, as reports, messages and errors say them."""

from __future__ import annotations

from datetime import UTC, datetime

from slimgate._system.escape import escape


def format_count(number: int, singular: str, plural: str) -> str:
    """`1 budget holds`, `1,204 budgets hold`."""
    return f"{number:,} {singular if number == 1 else plural}"


def moment(text: str) -> str:
    """`2026-11-20 08:15 UTC` of a time as a record has it; another text as it came."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return escape(text)
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"
