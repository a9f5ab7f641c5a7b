"""Digests of modules whose files a test writes more than once."""

from __future__ import annotations

import sys
from pathlib import Path

from slimgate._system import digests
from slimgate._system.digests import digest_code


def forget_digests() -> None:
    """Makes the next digest read all files again: a process caches digests and imported packages."""
    sys.modules.pop("slimgate_x", None)
    digests.forget()


def changes_with(module: str, file: Path, text: str) -> bool:
    """Writes a text into a file, and returns whether the digest of the module changes."""
    forget_digests()
    before = digest_code(module)
    file.write_text(text)
    forget_digests()
    changed = digest_code(module) != before
    forget_digests()
    return changed
