"""What a disk refuses, in one line that says what to do: full, read-only, not permitted, without locks."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slimgate.errors import BuildError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a library written in another language says in words, with the number of the error.
_FULL_IN_WORDS = re.compile(r"No space left on device|Disk quota exceeded|File too large \(os error")
_ELSEWHERE = "name another by --slimgate-store DIR"
_FREE = f"free some by `slimgate store prune --max-size SIZE`, or {_ELSEWHERE}"


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """What the store itself does to its files: every refusal is a BuildError of one line."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"store {root}: {_refusal(error)}") from error


@contextmanager
def reading(root: Path, name: str) -> Iterator[None]:
    """An entry that may not be read is no damaged one: that is a BuildError of one line."""
    try:
        yield
    except OSError as error:
        told = f"store {root}: {name} cannot be read ({error.strerror})"
        raise BuildError(f"{told}; let it be read, or {_ELSEWHERE}") from error


@contextmanager
def filling(root: Path, name: str) -> Iterator[None]:
    """What fills an entry may fail in any way; a disk that is full, or read-only by now, is told as such."""
    try:
        yield
    except Exception as error:
        cause = next((one for one in _chain(error) if _is_full(one) or _is_read_only(one)), None)
        if cause is None or f"store {root}: " in str(error):  # an entry made within this one has told
            raise
        what = _refusal(cause) if isinstance(cause, OSError) else f"no space is left; {_FREE}"
        said = " ".join(str(error).split())
        raise BuildError(f"store {root}: {what}; nothing of {name} was kept, which ended: {said}") from error


def _refusal(error: OSError) -> str:
    if error.errno in _FULL:
        return f"no space is left ({error.strerror}); {_FREE}"
    if error.errno == errno.ENOLCK:
        return f"files cannot be locked there ({error.strerror}); mount the share with locks, or {_ELSEWHERE}"
    return f"cannot be written ({error.strerror}); {_ELSEWHERE}"


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return _FULL_IN_WORDS.search(str(error)) is not None


def _is_read_only(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EROFS


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
