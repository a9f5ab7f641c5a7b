"""The self-tests of a suite, by name; light, as collecting tests needs the names alone."""

from __future__ import annotations

PLANTED_DELAY = "planted_delay"
SELF_TESTS = ("identical", "planted_fault", PLANTED_DELAY)
