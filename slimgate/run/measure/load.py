"""Runs a duel of two servers under load: they get the same requests in the same order, in alternating blocks.

The machine and the network drift, so only blocks of one round are compared. In a round the base has two
blocks and the variant one, in random order: the base against itself gives the noise floor. All blocks have
the same prompts, and each contender has an untimed block first. So a server's prompt cache is warm in every
block.
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
from slimgate.plugins.base import Progress, no_progress
from slimgate.plugins.workloads import Load, LoadPart, ServiceLevel

if TYPE_CHECKING:
    import httpx2

BASE, COPY, VARIANT = "base", "base again", "variant"
# Up to this share of the requests of a contender may fail; their times are left out.
MAX_FAILED_SHARE = 0.05
# The seconds of a part of a request; a failed request is slower than all others.
_PARTS: Mapping[LoadPart, Callable[[Timed], float | None]] = {
    "answer": lambda request: inf if request.failed is not None else request.total,
    "ttft": lambda request: inf if request.failed is not None else request.first,
    "tpot": lambda request: inf if request.failed is not None else request.between,
}


@dataclass(frozen=True)
class LoadTimes:
    """The times of all blocks, by contender. requests: a list for each round. block_seconds: one for each."""

    requests: Mapping[str, Sequence[Sequence[Timed]]]
    block_seconds: Mapping[str, Sequence[float]]

    def list_seconds(self, name: str, part: LoadPart) -> Floats:
        """(requests,) seconds of the answered requests."""
        return _read_seconds([request for block in self.requests[name] for request in block], part)

    def compute_block_medians(self, name: str, part: LoadPart) -> Floats:
        """(rounds,) median seconds. Raises MeasureError for a block without times of that part."""
        times = [_read_seconds(block, part) for block in self.requests[name]]
        if not all(map(len, times)):
            words = "no answer of two tokens" if part == "tpot" else "no answer"
            raise MeasureError(f"{name}: one timed turn has {words}, so {part} has no time")
        return np.asarray([np.median(block_times) for block_times in times], dtype=np.float64)

    def list_sent_ms(self, name: str, part: LoadPart) -> Floats:
        """(requests,) milliseconds in the order of sending; inf for failed requests.

        Requests that have no time of that part are left out.
        """
        times = (_PARTS[part](request) for block in self.requests[name] for request in block)
        return 1000 * np.asarray([seconds for seconds in times if seconds is not None], dtype=np.float64)

    def count_good(self, name: str, level: ServiceLevel) -> Ints:
        """(rounds,) the number of requests in each block that meet a service level."""
        counts = [sum(is_good(request, level) for request in block) for block in self.requests[name]]
        return np.asarray(counts, dtype=np.int64)

    def compute_ms_per_good(self, name: str, level: ServiceLevel) -> Floats:
        """(rounds,) milliseconds of a block per good request; inf if it has none."""
        good, block_seconds = self.count_good(name, level), np.asarray(self.block_seconds[name])
        return np.where(good > 0, 1000 * block_seconds / np.maximum(good, 1), np.inf)

    def count_failed(self, name: str) -> int:
        """The number of failed requests."""
        return sum(bool(request.failed) for block in self.requests[name] for request in block)

    def count_per_second(self, names: Sequence[str]) -> float:
        """Answered requests of these contenders per second of all their blocks."""
        blocks = [block for name in names for block in self.requests[name]]
        answered = sum(request.failed is None for block in blocks for request in block)
        return answered / sum(sum(self.block_seconds[name]) for name in names)

    def compute_speedup(self, part: LoadPart) -> Speedup:
        """The speed-up of the variant over the base, with the noise floor."""
        base, copy, variant = (self.compute_block_medians(name, part) for name in (BASE, COPY, VARIANT))
        fastest = [float(self.list_seconds(name, part).min()) for name in (BASE, VARIANT)]
        return estimate_speedup(base, copy, variant, of_minima=fastest[0] / fastest[1])


def is_good(request: Timed, level: ServiceLevel) -> bool:
    """Whether a request was answered within a service level.

    An answer of one token has no time between tokens and meets tpot_ms, as in vLLM's benchmark.
    """
    if request.failed is not None:
        return False
    pairs = (
        (request.first, level.ttft_ms),
        (request.between or 0.0, level.tpot_ms),
        (request.total, level.e2el_ms),
    )
    return all(limit is None or 1000 * seconds <= limit for seconds, limit in pairs)


def duel_under_load(
    base: Endpoint,
    variant: Endpoint,
    requests: Sequence[Request],
    load: Load,
    *,
    seed: int,
    progress: Progress = no_progress,
) -> LoadTimes:
    """Times the requests in turns. Raises MeasureError if too many requests of a contender fail."""
    return asyncio.run(_run_duel({BASE: base, COPY: base, VARIANT: variant}, requests, load, seed, progress))


async def _run_duel(
    contenders: Mapping[str, Endpoint],
    requests: Sequence[Request],
    load: Load,
    seed: int,
    progress: Progress,
) -> LoadTimes:
    blocks: dict[str, list[list[Timed]]] = {name: [] for name in contenders}
    block_seconds: dict[str, list[float]] = {name: [] for name in contenders}
    draws, clock = random.Random(seed), asyncio.get_running_loop().time
    connections = load.concurrency or len(requests)
    clients = {
        name: open_client(contender, connections=connections) for name, contender in contenders.items()
    }
    try:
        for number in range(load.blocks + 1):
            for name in draws.sample(list(contenders), len(contenders)):
                start = clock()
                block = await _send_block(
                    clients[name], contenders[name], requests, load, seed=hash((seed, number))
                )
                _refuse_failures(contenders[name], [block], 0.5)  # stop early if most requests fail
                if number:  # the first one warms up
                    blocks[name].append(block)
                    block_seconds[name].append(clock() - start)
            progress("blocks under load", number, load.blocks)
    finally:
        for client in clients.values():
            await client.aclose()
    for name, endpoint in contenders.items():
        _refuse_failures(endpoint, blocks[name], MAX_FAILED_SHARE)
    return LoadTimes(blocks, block_seconds)


async def _send_block(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], load: Load, *, seed: int
) -> list[Timed]:
    """Sends one block; all contenders of a round get the same arrival times."""
    if load.concurrency is not None:
        return await send_closed_loop(client, endpoint, requests, users=load.concurrency)
    return await send_at_rate(client, endpoint, requests, rate=load.request_rate or 1.0, seed=seed)


def _refuse_failures(endpoint: Endpoint, blocks: Sequence[Sequence[Timed]], max_share: float) -> None:
    """Raises MeasureError if more than this share of the requests failed."""
    why = Counter(request.failed for block in blocks for request in block if request.failed)
    total = sum(map(len, blocks))
    if why.total() > max_share * total:
        [(first, _)] = why.most_common(1)
        where = f"{endpoint.model} at {endpoint.url}"
        raise MeasureError(f"{where}: {why.total()} of {total} requests failed under load: {first}")


def _read_seconds(timed: Sequence[Timed], part: LoadPart) -> Floats:
    """Seconds of a part of the answered requests."""
    answered = (_PARTS[part](request) for request in timed if request.failed is None)
    return np.asarray([seconds for seconds in answered if seconds is not None], dtype=np.float64)
