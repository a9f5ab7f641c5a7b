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
    """For all of a process: collects after many more new objects than usual, and not when Python ends.

    Most objects of a short command are classes and functions of what it imports, and live to its end. To
    look at them again and again takes a sixth of its time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.freeze()
