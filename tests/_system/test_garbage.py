"""slimgate._system.garbage: the collector rests, and comes back as it was."""

from __future__ import annotations

import gc

from slimgate._system.garbage import no_collection


def test_the_garbage_collector_rests_and_comes_back() -> None:
    assert gc.isenabled()
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
