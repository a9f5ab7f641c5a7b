"""Paths as suites write them, made absolute: what no system can open is told in words."""

from __future__ import annotations

from pathlib import Path


def suite_path(base: Path, text: str, *, home: bool = False) -> Path:
    """The path, from the folder of the file that states it. home: whether ~ is one.

    It may lead out of that folder: it is written where its reader reads it. Raises ValueError for a path with
    a NUL, a name that is too long, links in a circle, a folder that may not be entered, a home of nobody.
    """
    try:
        path = Path(base, Path(text).expanduser() if home else text).resolve()
        path.exists()  # raises what opening it would
    except OSError as error:
        raise ValueError(f"{text[:80]!r} cannot be opened: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # links in a circle, nobody's home; a NUL
        raise ValueError(f"{text[:80]!r} is no path: {str(error).partition(' from ')[0]}") from error
    return path
