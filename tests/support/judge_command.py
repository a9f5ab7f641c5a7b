"""`slimgate judge` in this process: the fixture `judge` of tests/conftest.py runs it."""

from __future__ import annotations

from collections.abc import Callable

# Arguments of the command -> exit code, output, errors.
Judge = Callable[..., tuple[int, str, str]]
