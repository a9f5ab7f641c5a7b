"""Python's garbage collector, held off for a while, or for a whole command."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Some 20 MiB of them.
_MANY_OBJECTS = 100_000


@contextmanager
def no_collection() -> Iterator[None]:
    """Keeps the garbage collector out of what is timed, or makes very many small objects."""
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
    """While much is imported: collects after many more new objects than usual, and never looks at them again.

    What is imported lives to the end of the process. To look at it in each collection takes a sixth of the
    time of a short command, and of a collection of tests. Objects are set aside once a process, since
    garbage among them stays.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        if not gc.get_freeze_count():
            gc.freeze()
