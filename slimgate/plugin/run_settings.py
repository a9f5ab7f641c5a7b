"""The settings that all suites of one pytest session share, with the store and the probe that they share."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.timestamps import format_now
from slimgate.plugins.rows import GATE
from slimgate.run.progress import UNWATCHED, Watch

if TYPE_CHECKING:
    from slimgate.run.environment import PeakProbe
    from slimgate.run.shards import Shard
    from slimgate.store.store import Store


def measure_other_load() -> float | None:
    """Runnable processes for each core over the last minute, without our own; None if it is not known.

    The load average is an exponential mean over 60 s, in which one process that has run for t seconds
    counts 1 - exp(-t / 60).
    """
    if not hasattr(os, "getloadavg"):
        return None
    import psutil

    age = max(0.0, time.time() - float(psutil.Process().create_time()))
    own_load = 1 - math.exp(-age / 60)
    return max(0.0, os.getloadavg()[0] - own_load) / (os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class RunSettings:
    """The settings of a session.

    shard: which of several runs this is; None for the whole suite. time_limit: seconds that a variant's own
    steps may take. split: the split whose rows judge. other_load: the load of other processes when the
    session began. began: the time when the session began.
    """

    store_root: Path
    report_root: Path
    rebuild_mark: str | None
    device: str
    workers: int
    command: str
    watch: Watch = UNWATCHED
    shard: Shard | None = None
    time_limit: float | None = None
    split: str = GATE
    other_load: float | None = field(default_factory=measure_other_load)
    began: str = field(default_factory=partial(format_now, "microseconds"))

    @cached_property
    def store(self) -> Store:
        """The store, made at its first use: runs without suites leave no folder behind."""
        from slimgate.store.store import Store

        return Store(self.store_root, rebuild=self.rebuild_mark)

    @cached_property
    def probe(self) -> PeakProbe:
        """The measurements of the CPU's peak rates."""
        from slimgate.run.environment import PeakProbe

        return PeakProbe()
