"""Sizes and times of one model in two releases."""

from __future__ import annotations

from typing import Literal

from slimgate.record import LatencyFacts, Machine, VariantRecord
from slimgate.record.comparing.facts import LatencyChange, SizeChange

Interval = tuple[float, float] | None


def same_hardware(machine: Machine, other: Machine) -> bool:
    """Whether times of two records may be compared: other libraries are part of what changed."""
    return machine.hardware == other.hardware


def size_change(old: VariantRecord, new: VariantRecord) -> SizeChange | None:
    """None where a release has no artifact of it, or no size of that."""
    old_bytes, new_bytes = (model.artifact.bytes if model.artifact else None for model in (old, new))
    if old_bytes is None or new_bytes is None:
        return None
    return SizeChange(
        old_bytes=old_bytes,
        new_bytes=new_bytes,
        old_compression=old.size and old.size.compression,
        new_compression=new.size and new.size.compression,
    )


def latency_changes(old: VariantRecord, new: VariantRecord, *, same: bool) -> list[LatencyChange]:
    """Each workload of either release. same: whether they were timed on one machine."""
    nothing = LatencyFacts(measured="")
    changes = []
    for workload in dict.fromkeys([*new.latency, *old.latency]):
        before, after = old.latency.get(workload, nothing), new.latency.get(workload, nothing)
        changes.append(
            LatencyChange(
                workload=workload,
                old_p50_ms=before.p50_ms,
                new_p50_ms=after.p50_ms,
                old_speedup=before.speedup,
                old_interval=before.speedup_interval,
                new_speedup=after.speedup,
                new_interval=after.speedup_interval,
                change=_speed_change(before.speedup_interval, after.speedup_interval) if same else None,
            )
        )
    return changes


def _speed_change(before: Interval, after: Interval) -> Literal["faster", "slower", "no change shown"] | None:
    """Two duels were not paired with each other, so a change is told only where the intervals lie apart."""
    if before is None or after is None:
        return None
    if after[1] < before[0]:
        return "slower"
    return "faster" if after[0] > before[1] else "no change shown"
