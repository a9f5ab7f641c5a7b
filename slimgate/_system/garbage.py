"""Switches off Python's garbage collector for a while, or makes it run rarely."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# They take about 20 MB.
_MANY_OBJECTS = 100_000


@contextmanager
def no_collection() -> Iterator[None]:
    """Switches off the garbage collector, for code that is timed or that makes very many small objects."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def rare_collection() -> Iterator[None]:
    """For large imports: collects less often, and then excludes the new objects from later collections.

    Imported objects live to the end of the process. Scanning them in every collection takes a sixth of the
    time of a short command, or of collecting tests. The objects are frozen only once per process, because
    garbage among them is never freed.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        if not gc.get_freeze_count():
            gc.freeze()
