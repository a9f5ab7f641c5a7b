"""One run of a suite in several processes or machines: which variants are whose.

    pytest bench/x.toml --slimgate-shard 2/5

Every shard deals the variants alike, from the suite alone: what its own store has, or how long it took
before, the others cannot know.

What a shard's record says of itself: its variants, what of them is missing, which code and machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from slimgate._system.digests import own_code_digest
from slimgate.record import Machine, ShardFacts
from slimgate.run.gate_results import Parts, expected_checks, format_key
from slimgate.suite.suite import TEACHER, Suite

if TYPE_CHECKING:
    from slimgate.suite.suite import Variant

# Work in rough units: only its proportions matter, and all shards must see the same.
STEP, TRAINING, MEASURING = 1, 8, 3

Work = Mapping[str, int]


class Shard(NamedTuple):
    """number: from 1 to `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(text: str) -> Shard:
    """`2/5`. Raises ValueError, in a line that says what was expected."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f'"{text}", expected NUMBER/COUNT such as 2/5, with a number from 1 to the count')
    return Shard(int(found[1]), int(found[2]))


def share(suite: Suite, shard: Shard) -> tuple[str, ...]:
    """The variants of one shard, in the suite's order; none where the shards are more than the variants."""
    return deal_variants(suite, shard.of)[shard.number - 1]


def deal_variants(suite: Suite, of: int) -> list[tuple[str, ...]]:
    """The variants of each shard.

    Of several ways to deal, the one whose longest shard and mean shard are shortest together: a chain of
    `from` stays together where building its beginning twice would cost more than it gains.
    """
    work = {name: _work(suite, name) for name in suite.variants}
    steps = {step: cost for own in work.values() for step, cost in own.items()}
    whole = sum(steps.values()) + MEASURING * len(work)
    longest = max((MEASURING + sum(own.values()) for own in work.values()), default=0)
    most, ways = max(longest, -(-whole // of)), []
    order = _chains_first(suite, work)
    while most < whole:
        ways.append(_pack(order, work, of, most))
        most += max(1, most // 8)
    ways.append(_pack(order, work, of, whole))
    _, shares = min((way for way in ways if way is not None), key=lambda way: _price(way[0]))
    return [tuple(name for name in suite.variants if name in own) for own in shares]


Way = tuple[list[int], list[set[str]]]


def _price(loads: Sequence[int]) -> tuple[int, int]:
    return max(loads) * len(loads) + sum(loads), max(loads)


def _pack(order: Sequence[str], work: Mapping[str, Work], of: int, most: int) -> Way | None:
    """Each variant to the shard that has most of its steps; None where some shard would exceed `most`."""
    loads, shares = [0] * of, [set[str]() for _ in range(of)]
    built = [set[str]() for _ in range(of)]
    for name in order:
        own = work[name]
        more = [MEASURING + sum(own[step] for step in own.keys() - there) for there in built]
        room = [k for k in range(of) if loads[k] + more[k] <= most]
        if not room:
            return None
        chosen = min(room, key=lambda k: (more[k], loads[k], k))
        loads[chosen] += more[chosen]
        shares[chosen].add(name)
        built[chosen] |= own.keys()
    return loads, shares


def _chains_first(suite: Suite, work: Mapping[str, Work]) -> list[str]:
    """The heaviest chain first, each from its beginning on."""
    chains: dict[str, list[str]] = {}
    for name in suite.variants:
        chains.setdefault(_beginning(suite, name), []).append(name)
    cost = {first: sum(_together(chain, work).values()) for first, chain in chains.items()}
    return [
        name
        for first in sorted(chains, key=lambda first: -cost[first])
        for name in sorted(chains[first], key=lambda name: len(work[name]))
    ]


def _together(names: Sequence[str], work: Mapping[str, Work]) -> Work:
    return {step: cost for name in names for step, cost in work[name].items()}


def _beginning(suite: Suite, name: str) -> str:
    while (parent := _parent(suite, name)) is not None:
        name = parent
    return name


def _parent(suite: Suite, name: str) -> str | None:
    parent = suite.variants[name].parent
    return parent if parent in suite.variants else None


def _work(suite: Suite, name: str) -> dict[str, int]:
    """The steps from the teacher, which every shard has, to a variant; also those to its assistants."""
    from slimgate.run.past_times import recipes

    variant = suite.variants[name]
    before = [other for other in (_parent(suite, name), *variant.assistants) if other is not None]
    found = {step: cost for other in before for step, cost in _work(suite, other).items()}
    return found | dict(zip(recipes(suite, variant), _costs(suite, variant), strict=True))


def _costs(suite: Suite, variant: Variant) -> list[int]:
    """Of loading a model that the variant names, and of its own steps; by as many seeds as build it."""
    builds = len(suite.seeds) if suite.is_stochastic(variant.name) else 1
    load = [STEP] if variant.ref is not None else []
    return load + [(TRAINING if step.object.stochastic else STEP) * builds for step in variant.steps]


def shard_facts(
    suite: Suite, shard: Shard, parts: Parts, machine: Machine, *, created: str, seconds: float
) -> ShardFacts:
    """Of a shard whose parts have reported so far."""
    own = share(suite, shard)
    checks = [key for key in expected_checks(suite) if key[1] in (TEACHER, *own)]
    return ShardFacts(
        number=shard.number,
        of=shard.of,
        variants=list(own),
        missing=[format_key(key) for key in checks if not parts.has(key)],
        code=own_code_digest(),
        machine=f"{machine.cpu}, {machine.cores} cores",
        created=created,
        seconds=round(seconds, 1),
    )
