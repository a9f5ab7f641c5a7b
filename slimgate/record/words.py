"""Counts and moments in words, as reports, messages and errors say them."""

from __future__ import annotations

from datetime import UTC, datetime

from slimgate._system.escape import escape


def format_count(number: int, one: str, many: str) -> str:
    """`1 budget holds`, `1,204 budgets hold`."""
    return f"{number:,} {one if number == 1 else many}"


def moment(text: str) -> str:
    """`2026-11-20 08:15 UTC` of a time as a record has it; another text as it came."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return escape(text)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo else f"{found:%Y-%m-%d %H:%M}"
