"""Which part of a suite a run was, where several runs shared it."""

from __future__ import annotations

from slimgate.judge.parts import Part


class ShardFacts(Part):
    """Shard `number` of `of`, and the variants that are its own; code: digest of slimgate's own source.

    missing: checks of its share that no run has made yet, which `verdict.missing` counts among those of all.
    machine: the processor and its cores; it and the times tell the shards of a merged record apart.
    """

    number: int
    of: int
    variants: list[str]
    missing: list[str] = []
    code: str
    machine: str
    created: str
    seconds: float | None = None
