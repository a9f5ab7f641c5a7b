"""The tests that pytest makes of a suite. Each writes its part of the record before it passes or fails."""

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

VARIANT_TESTS: tuple[Callable[..., None], ...] = (test_behaviour, test_size)


def make_test_module(suite: Suite, *, confirm: bool = False) -> ModuleType:
    """Makes a module with the tests of one suite.

    It leaves out each test that has nothing to do, because pytest would parametrize it with an empty list.
    confirm: only the test on the confirm rows.
    """
    module = ModuleType(suite.path.stem, f"The gates of {suite.shown}.")
    module.__file__ = str(suite.path)
    if confirm:
        setattr(module, test_confirm.__name__, test_confirm)
        return module
    needed: tuple[tuple[Callable[..., None], bool], ...] = (
        (test_quality, bool(suite.judged_metrics)),
        *((test, bool(suite.variants)) for test in VARIANT_TESTS),
        (test_speedup, bool(suite.dueled)),
        (test_baseline, bool(suite.since_baseline)),
        (test_memory, bool(suite.variants_with_memory)),
        (test_selftest, True),
        (test_latency, bool(suite.timed)),
        (test_load, bool(suite.loaded)),
    )
    for test, is_needed in needed:
        if is_needed:
            setattr(module, test.__name__, test)
    return module
