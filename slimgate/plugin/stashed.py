"""What slimgate keeps in pytest's stash, by key: light, so that runs without suites load nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.run.parts import Part

# In the config: the session, once a suite is found or asked for.
SESSION: pytest.StashKey[Session] = pytest.StashKey()
# In the config: lines on files that lie where suites do and are none.
NOTES: pytest.StashKey[list[str]] = pytest.StashKey()
# In a test: what it adds to the record.
PARTS: pytest.StashKey[list[Part]] = pytest.StashKey()
