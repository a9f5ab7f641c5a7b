"""Assigns variants to shards, to run one suite in several processes or on several machines.

    pytest bench/x.toml --slimgate-shard 2/5

Every shard computes the same assignment, from the suite alone: it cannot know the stores and the past times
of the other shards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slimgate._system.digests import digest_own_code
from slimgate.record.run import ShardFacts
from slimgate.record.task import Machine
from slimgate.results.checks import TEACHER
from slimgate.run.contents import read_variables
from slimgate.run.gate_results import GateResults, list_expected_checks
from slimgate.suite.suite import Suite

# Costs in rough units: only their proportions matter, and all shards must see the same.
STEP, TRAINING, MEASURING = 1, 8, 3
# The digest of a step, and of the steps before it -> its cost.
StepCosts = Mapping[str, int]
# The load of each shard, and its variants.
Assignment = tuple[list[int], list[set[str]]]


class Shard(NamedTuple):
    """One of `of` shards. number: from 1 to `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(text: str) -> Shard:
    """Parses `2/5`. Raises ValueError with a line that says what is expected."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f'"{text}", expected NUMBER/COUNT such as 2/5, with a number from 1 to the count')
    return Shard(int(match[1]), int(match[2]))


def list_shard_variants(suite: Suite, shard: Shard) -> tuple[str, ...]:
    """The variants of one shard, in the suite's order; none if there are more shards than variants."""
    return assign_variants(suite, shard.of)[shard.number - 1]


def assign_variants(suite: Suite, count: int) -> list[tuple[str, ...]]:
    """The variants of each shard.

    Of several assignments it chooses the one with the least work, longest and mean shard taken together: a
    chain of `from` stays together if building its beginning twice would cost more than it saves.
    """
    costs = {name: _list_step_costs(suite, name) for name in suite.variants}
    steps = {step: cost for variant_costs in costs.values() for step, cost in variant_costs.items()}
    total = sum(steps.values()) + MEASURING * len(costs)
    heaviest = max((MEASURING + sum(variant_costs.values()) for variant_costs in costs.values()), default=0)
    max_load, candidates = max(heaviest, -(-total // count)), []
    order = _order_by_chain(suite, costs)
    while max_load < total:
        candidates.append(_pack_shards(order, costs, count, max_load))
        max_load += max(1, max_load // 8)
    candidates.append(_pack_shards(order, costs, count, total))
    possible = [assignment for assignment in candidates if assignment is not None]
    _, shares = min(possible, key=lambda assignment: _rate_loads(assignment[0]))
    return [tuple(name for name in suite.variants if name in shard_variants) for shard_variants in shares]


def _rate_loads(loads: Sequence[int]) -> tuple[int, int]:
    return max(loads) * len(loads) + sum(loads), max(loads)


def _pack_shards(
    order: Sequence[str], costs: Mapping[str, StepCosts], shard_count: int, max_load: int
) -> Assignment | None:
    """Assigns each variant to the shard that has most of its steps; None if a shard exceeds `max_load`."""
    loads, shares = [0] * shard_count, [set[str]() for _ in range(shard_count)]
    built = [set[str]() for _ in range(shard_count)]
    for name in order:
        variant_costs = costs[name]
        more = [
            MEASURING + sum(variant_costs[step] for step in variant_costs.keys() - shard_steps)
            for shard_steps in built
        ]
        room = [k for k in range(shard_count) if loads[k] + more[k] <= max_load]
        if not room:
            return None
        chosen = min(room, key=lambda k: (more[k], loads[k], k))
        loads[chosen] += more[chosen]
        shares[chosen].add(name)
        built[chosen] |= variant_costs.keys()
    return loads, shares


def _order_by_chain(suite: Suite, costs: Mapping[str, StepCosts]) -> list[str]:
    """The variants ordered by chain, the heaviest chain first; each chain from its beginning on."""
    chains: dict[str, list[str]] = {}
    for name in suite.variants:
        first = name
        while (parent := _find_parent(suite, first)) is not None:
            first = parent
        chains.setdefault(first, []).append(name)
    chain_costs = {
        first: sum({step: cost for name in chain for step, cost in costs[name].items()}.values())
        for first, chain in chains.items()
    }
    return [
        name
        for first in sorted(chains, key=lambda first: -chain_costs[first])
        for name in sorted(chains[first], key=lambda name: len(costs[name]))
    ]


def _find_parent(suite: Suite, name: str) -> str | None:
    parent = suite.variants[name].parent
    return parent if parent in suite.variants else None


def _list_step_costs(suite: Suite, name: str) -> dict[str, int]:
    """The cost of each step from the teacher, which every shard has, to a variant and its assistants."""
    from slimgate.run.past_times import digest_steps

    variant = suite.variants[name]
    before = [other for other in (_find_parent(suite, name), *variant.assistants) if other is not None]
    costs = {step: cost for other in before for step, cost in _list_step_costs(suite, other).items()}
    builds = len(suite.seeds) if suite.is_stochastic(variant.name) else 1
    load = [STEP] if variant.ref is not None else []
    own_costs = [(TRAINING if step.object.stochastic else STEP) * builds for step in variant.steps]
    return costs | dict(zip(digest_steps(suite, variant), load + own_costs, strict=True))


def make_shard_facts(
    suite: Suite, shard: Shard, results: GateResults, machine: Machine, *, created: str, seconds: float
) -> ShardFacts:
    """The facts of a shard for its record: its variants, what is missing, its code and machine."""
    variants = list_shard_variants(suite, shard)
    checks = [key for key in list_expected_checks(suite) if key.model in (TEACHER, *variants)]
    return ShardFacts(
        number=shard.number,
        of=shard.of,
        variants=list(variants),
        missing=[" ".join(filter(None, key)) for key in checks if not results.has(key)],
        code=digest_own_code(),
        machine=machine.kind,
        created=created,
        seconds=round(seconds, 1),
        variables=read_variables(),
    )
