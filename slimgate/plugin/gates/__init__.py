"""The tests that every suite expands to. Each reports its part of the record before it passes or fails."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from slimgate.plugin.gates.behaviour import test_behaviour
from slimgate.plugin.gates.latency import test_latency, test_speedup
from slimgate.plugin.gates.load import test_load
from slimgate.plugin.gates.quality import test_baseline, test_confirm, test_quality
from slimgate.plugin.gates.selftest import test_selftest
from slimgate.plugin.gates.size import test_memory, test_size
from slimgate.suite.suite import Suite

OF_VARIANTS: tuple[Callable[..., None], ...] = (test_behaviour, test_size)


def as_module(suite: Suite, *, confirm: bool = False) -> ModuleType:
    """A module that holds the gates of one suite; those of variants only where it has any.

    Quality, times, memory and baseline only where there is something to judge: nothing is parametrized by
    an empty list.
    confirm: only the gate on the confirm rows.
    """
    module = ModuleType(suite.path.stem, f"The gates of {suite.shown}.")
    module.__file__ = str(suite.path)
    if confirm:
        setattr(module, test_confirm.__name__, test_confirm)
        return module
    weighing = (test_memory,) if suite.variants_with_memory else ()
    since = (test_baseline,) if suite.since_baseline else ()
    quality = (test_quality,) if suite.judged_metrics else ()
    variants = OF_VARIANTS if suite.variants else ()
    dueling = (test_speedup,) if suite.dueled else ()
    timing = (test_latency,) if suite.timed else ()
    loading = (test_load,) if suite.loaded else ()
    for gate in (*quality, *variants, *dueling, *since, *weighing, test_selftest, *timing, *loading):
        setattr(module, gate.__name__, gate)
    return module
