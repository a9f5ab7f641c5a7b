"""What a shard's record says of itself: its variants, what of them is missing, which code and machine."""

from __future__ import annotations

from slimgate._system.digests import own_code_digest
from slimgate.record import Machine, ShardFacts
from slimgate.run.parts import Parts, expected, told
from slimgate.run.shards import Shard, share
from slimgate.suite.suite import TEACHER, Suite


def shard_facts(
    suite: Suite, shard: Shard, parts: Parts, machine: Machine, *, created: str, seconds: float
) -> ShardFacts:
    """Of a shard whose parts have reported so far."""
    own = share(suite, shard)
    checks = [key for key in expected(suite) if key[1] in (TEACHER, *own)]
    return ShardFacts(
        number=shard.number,
        of=shard.of,
        variants=list(own),
        missing=[told(key) for key in checks if not parts.has(key)],
        code=own_code_digest(),
        machine=f"{machine.cpu}, {machine.cores} cores",
        created=created,
        seconds=round(seconds, 1),
    )
