"""A duel of two servers under load: the same requests in the same order, by turns of a block each.

The machine and the network drift, so only blocks of one round are compared. In a round the base has two
blocks and the variant one, in random order: the base against itself is the noise floor. All blocks have the
same prompts, and a block of each that is not timed comes first. So a server that keeps prompts in a cache has
them there in every block.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.speed import Speedup, estimate_speedup
from slimgate.models.ask import Endpoint, Request, open_client
from slimgate.models.stream import Timed, send_at_rate, send_closed_loop
from slimgate.outcomes import Floats, Ints
from slimgate.protocols import Load, LoadPart, Progress, ServiceLevel, no_progress

if TYPE_CHECKING:
    import httpx2

BASE, COPY, VARIANT = "base", "base again", "variant"
# Up to this share of the requests of a contender may fail; their times are left out.
MOST_FAILED = 0.05
# The seconds of a part of a request; a request that failed is slower than all others.
_PARTS: Mapping[LoadPart, Callable[[Timed], float | None]] = {
    "answer": lambda one: inf if one.failed is not None else one.total,
    "ttft": lambda one: inf if one.failed is not None else one.first,
    "tpot": lambda one: inf if one.failed is not None else one.between,
}


@dataclass(frozen=True)
class LoadTimes:
    """What came of all blocks. seconds: by contender one list of requests a round; wall: of each block."""

    requests: Mapping[str, Sequence[Sequence[Timed]]]
    wall: Mapping[str, Sequence[float]]

    def seconds(self, name: str, part: LoadPart) -> Floats:
        """(requests,) times of those that were answered, in seconds."""
        return _seconds([one for block in self.requests[name] for one in block], part)

    def blocks(self, name: str, part: LoadPart) -> Floats:
        """(rounds,) medians. Raises MeasureError for a block without times of that part."""
        found = [_seconds(block, part) for block in self.requests[name]]
        if not all(map(len, found)):
            words = "no answer of two tokens" if part == "tpot" else "no answer"
            raise MeasureError(f"{name}: a block has {words}, so {part} has no time")
        return np.asarray([np.median(one) for one in found], dtype=np.float64)

    def sent_ms(self, name: str, part: LoadPart) -> Floats:
        """(requests,) milliseconds in the order of sending, inf of those that failed; without those that have
        no time of that part."""
        found = (_PARTS[part](one) for block in self.requests[name] for one in block)
        return 1000 * np.asarray([one for one in found if one is not None], dtype=np.float64)

    def good(self, name: str, level: ServiceLevel) -> Ints:
        """(rounds,) how many requests of each block meet a service level."""
        counts = [sum(meets(one, level) for one in block) for block in self.requests[name]]
        return np.asarray(counts, dtype=np.int64)

    def ms_per_good(self, name: str, level: ServiceLevel) -> Floats:
        """(rounds,) milliseconds of a block for each of its good requests; inf where it has none."""
        good, wall = self.good(name, level), np.asarray(self.wall[name])
        return np.where(good > 0, 1000 * wall / np.maximum(good, 1), np.inf)

    def failed(self, name: str) -> Counter[str]:
        """How many requests failed, by why."""
        return Counter(one.failed for block in self.requests[name] for one in block if one.failed)

    def per_second(self, name: str) -> float:
        """Answered requests a second."""
        answered = sum(one.failed is None for block in self.requests[name] for one in block)
        return answered / sum(self.wall[name])

    def speedup(self, part: LoadPart) -> Speedup:
        """The speed-up of the variant over the base, with the noise floor."""
        base, copy, variant = (self.blocks(name, part) for name in (BASE, COPY, VARIANT))
        fastest = [float(self.seconds(name, part).min()) for name in (BASE, VARIANT)]
        return estimate_speedup(base, copy, variant, of_minima=fastest[0] / fastest[1])


def meets(request: Timed, level: ServiceLevel) -> bool:
    """Whether a request was answered within a service level. An answer of one token has no time between two,
    and meets tpot_ms, as in vLLM's benchmark."""
    if request.failed is not None:
        return False
    pairs = (
        (request.first, level.ttft_ms),
        (request.between or 0.0, level.tpot_ms),
        (request.total, level.e2el_ms),
    )
    return all(most is None or 1000 * seconds <= most for seconds, most in pairs)


def duel_under_load(
    base: Endpoint,
    variant: Endpoint,
    requests: Sequence[Request],
    load: Load,
    *,
    seed: int,
    progress: Progress = no_progress,
) -> LoadTimes:
    """Times of the requests by turns. Raises MeasureError where too many requests of a contender fail."""
    return asyncio.run(_duel({BASE: base, COPY: base, VARIANT: variant}, requests, load, seed, progress))


async def _duel(
    contenders: Mapping[str, Endpoint],
    requests: Sequence[Request],
    load: Load,
    seed: int,
    progress: Progress,
) -> LoadTimes:
    found: dict[str, list[list[Timed]]] = {name: [] for name in contenders}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    draws, clock = random.Random(seed), asyncio.get_running_loop().time
    connections = load.concurrency or len(requests)
    clients = {name: open_client(one, connections=connections) for name, one in contenders.items()}
    try:
        for number in range(load.blocks + 1):
            for name in draws.sample(list(contenders), len(contenders)):
                start = clock()
                block = await _send(
                    clients[name], contenders[name], requests, load, seed=hash((seed, number))
                )
                _refuse_failures(contenders[name], [block], 0.5)  # do not go on for long
                if number:  # the first one warms up
                    found[name].append(block)
                    wall[name].append(clock() - start)
            progress("blocks under load", number, load.blocks)
    finally:
        for client in clients.values():
            await client.aclose()
    for name, endpoint in contenders.items():
        _refuse_failures(endpoint, found[name], MOST_FAILED)
    return LoadTimes(found, wall)


async def _send(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], load: Load, *, seed: int
) -> list[Timed]:
    """One block; all contenders of a round get the same arrivals."""
    if load.concurrency is not None:
        return await send_closed_loop(client, endpoint, requests, users=load.concurrency)
    return await send_at_rate(client, endpoint, requests, rate=load.request_rate or 1.0, seed=seed)


def _refuse_failures(endpoint: Endpoint, blocks: Sequence[Sequence[Timed]], most: float) -> None:
    """Raises MeasureError where more than this share of the requests failed."""
    why = Counter(one.failed for block in blocks for one in block if one.failed)
    total = sum(map(len, blocks))
    if why.total() > most * total:
        [(first, _)] = why.most_common(1)
        where = f"{endpoint.model} at {endpoint.url}"
        raise MeasureError(f"{where}: {why.total()} of {total} requests failed under load: {first}")


def _seconds(timed: Sequence[Timed], part: LoadPart) -> Floats:
    """Of the requests that were answered."""
    answered = (_PARTS[part](one) for one in timed if one.failed is None)
    return np.asarray([one for one in answered if one is not None], dtype=np.float64)
