"""Digests of modules whose files a test writes more than once."""

from __future__ import annotations

import sys
from pathlib import Path

from slimgate._system import digests
from slimgate._system.digests import digest_code


def forget_digests() -> None:
    """Digests are kept for a process, as are packages; a test writes the same file twice."""
    sys.modules.pop("slimgate_x", None)
    digests.forget()


def changes_with(module: str, file: Path, text: str) -> bool:
    """Whether the digest of a module changes when a file gets this text."""
    forget_digests()
    before = digest_code(module)
    file.write_text(text)
    forget_digests()
    changed = digest_code(module) != before
    forget_digests()
    return changed
