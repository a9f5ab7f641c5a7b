"""The duel: contenders, each in a process of its own, take turns by short blocks in random order.

Two runtimes in one process steal each other's cores (idle thread pools spin), and times that are taken one
model after another carry the machine's drift. So every round gives each contender one block of calls, the
first calls of a block are thrown away, and only times of one round are compared.

Where a core is shared, a call takes its own time, or that and a turn of somebody else's on the core, as the
scheduler has it: 2 ms or 6. A block's median, mean and minimum then jump between the two, and twelve rounds
gave noise floors of up to 1.15. So the time in which another process had the core is taken off each call
(duel_worker.QueueClock), and a block is told by the lower quartile of its calls: the caches that the
neighbour left cold, and what cannot be taken off (its other threads' waits), make a call longer, never
shorter. Absolute latencies stay as the wall clock has them.

In a suite with a cascade, a call's time depends on its row. A block then calls many different rows, the same
ones for every contender of the round, each a few times. It is told by the mean over the rows of the lower
quartile of each row's calls. The next round takes the next rows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system.forkserver import forkserver
from slimgate._system.worker import describe_end
from slimgate.errors import MeasureError
from slimgate.protocols import TimedPart
from slimgate.run.measure.duel_worker import serve
from slimgate.run.measure.end_to_end import Texts
from slimgate.run.measure.timed_call import CallInputs

Floats = npt.NDArray[np.float64]
# By contender one time a round; says whether the rounds so far will do.
Enough = Callable[[Mapping[str, Floats]], bool]

# A block is long enough for a quartile, and short enough for many turns.
BLOCK_SECONDS = 0.016
MOST_CALLS = 32
# Caches are cold after a turn of another model: short calls need more than one to warm up.
SHORT_CALL_SECONDS = 0.001
# The strict level of the rule that ends a duel early needs 11 rounds: of fewer, 2 / 2^rounds is above 0.1 %.
MIN_ROUNDS = 12
MAX_ROUNDS = 400
# Few looks, each at twice the rounds of the one before: every look is a chance to stop by luck.
LOOKS = (12, 24, 48, 96, 192)
# Where rows differ: rows of a round, so that the share of slow ones is about the same in each, and calls of
# each of them.
ROWS_OF_A_ROUND, CALLS_OF_A_ROW = 32, 2
# What a process that does not answer is given before it counts as dead: loading, or one block.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class ContenderSpec:
    """What a contender's process loads."""

    name: str
    folder: Path
    runtime: str
    params: Any
    device: str
    threads: int


@dataclass(frozen=True)
class Block:
    """One turn: seconds of each call, and those of them in which other processes had the core.

    turns: how many batches were called, one after another, each as often.
    """

    seconds: Sequence[float]
    waited: Sequence[float]
    turns: int = 1


@dataclass(frozen=True)
class DuelTimes:
    """Per contender the time of each block, in seconds: (rounds,); its fastest call; its calls a block."""

    blocks: Mapping[str, Floats]
    fastest: Mapping[str, float]
    rounds: int
    calls: Mapping[str, int]


class Contender:
    """A contender's process, forked from a server that has the heavy imports behind it."""

    def __init__(self, spec: ContenderSpec, *, beside: Contender | None = None) -> None:
        """Loads the model; `beside`: in the process of that contender, which has to be of one runtime.

        threads: what the process says it runs on. Raises MeasureError where loading fails.
        """
        if beside is not None and beside.spec.runtime != spec.runtime:
            raise MeasureError(
                f"{spec.name} ({spec.runtime}) and {beside.spec.name} ({beside.spec.runtime}) cannot share a "
                "process: two runtimes steal each other's cores; give each its own"
            )
        self.spec: ContenderSpec = spec
        self._shares = beside is not None
        self._pipe: Any
        self._process: Any
        self._pipe, self._process = _start() if beside is None else (beside._pipe, beside._process)
        loading = {"folder": str(spec.folder), "runtime": spec.runtime, "params": spec.params}
        try:
            told = self._ask({"load": {**loading, "device": spec.device, "threads": spec.threads}})
        except MeasureError:
            self.close()
            raise
        self.threads = int(told["threads"])

    def prepare(self, inputs: Sequence[CallInputs], part: TimedPart = "forward") -> None:
        """Hands over the batches of the next blocks, and what is timed of a call."""
        given = [one if isinstance(one, Texts) else dict(one) for one in inputs]
        self._ask({"inputs": given, "part": part})

    def delay(self, seconds: float) -> None:
        """From now on every call waits so much longer, busily; 0 ends an earlier delay."""
        self._ask({"delay": seconds})

    def block(self, calls: int, *, discard: int, turns: Sequence[int] = (0,)) -> Block:
        """One block, after `discard` calls that do not count. turns: which batches are called, in order."""
        asked = {"calls": calls, "discard": discard, "turns": list(turns)}
        return Block(**self._ask(asked), turns=len(turns))

    def close(self) -> None:
        """Ends the process, unless it is another contender's."""
        if self._shares:
            return
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._pipe.send({"name": self.spec.name, **command})
            if not self._pipe.poll(PATIENCE_SECONDS):
                raise MeasureError(
                    f"{self.spec.name}: no answer for {PATIENCE_SECONDS:.0f} s while being timed"
                )
            answer: dict[str, Any] = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(timeout=5)
            answer = {"error": describe_end(self._process.exitcode)}
        if "error" in answer:
            raise MeasureError(f"{self.spec.name}: the process that times it failed: {answer['error']}")
        return answer


def duel(
    contenders: Sequence[Contender],
    inputs: Mapping[str, Sequence[CallInputs]],
    *,
    seed: int,
    max_seconds: float,
    enough: Enough | None = None,
    part: TimedPart = "forward",
) -> DuelTimes:
    """Rounds of blocks until `max_seconds` are used or `enough` says so, at least MIN_ROUNDS.

    inputs: by contender its batches of the same rows; of several, each round takes the next. part: what is
    timed of a call.

    All make as many calls a block, but those that are over twice as fast as their mean: they fill a block of
    their own (`block_sizes`). The order of the turns is drawn anew for every second round, and turned round
    for the one after (ABBA). `enough` is asked only at LOOKS, because a rule that is asked after each round
    stops at its luckiest moment. Calls below 1 ms get twice the rounds.
    """
    for contender in contenders:
        contender.prepare(inputs[contender.spec.name], part)
    once = {contender.spec.name: seconds_of_a_call(contender) for contender in contenders}
    batches = len(next(iter(inputs.values())))
    sizes = block_sizes(once) if batches == 1 else dict.fromkeys(once, (CALLS_OF_A_ROW, 1))
    rows = 1 if batches == 1 else _rows_of(next(iter(inputs.values()))[0])
    least = MIN_ROUNDS * (2 if fmean(once.values()) < SHORT_CALL_SECONDS else 1)
    blocks: dict[str, list[Block]] = {contender.spec.name: [] for contender in contenders}
    turns, generator, rounds, start = list(contenders), random.Random(seed), 0, time.perf_counter()
    while rounds < least or (rounds < MAX_ROUNDS and time.perf_counter() - start < max_seconds):
        if enough and least <= rounds and rounds in LOOKS and enough(_times(blocks)):
            break
        if rounds % 2:
            turns.reverse()
        else:
            generator.shuffle(turns)
        called = turns_of_round(rounds, batches, rows)
        for contender in turns:
            calls, discard = sizes[contender.spec.name]
            blocks[contender.spec.name].append(contender.block(calls, discard=discard, turns=called))
        rounds += 1
    fastest = {name: fastest_call(own) for name, own in blocks.items()}
    return DuelTimes(_times(blocks), fastest, rounds, {name: calls for name, (calls, _) in sizes.items()})


def _rows_of(inputs: CallInputs) -> int:
    return len(inputs.rows if isinstance(inputs, Texts) else next(iter(inputs.values())))


def turns_of_round(number: int, batches: int, rows: int) -> list[int]:
    """Which batches a round calls: the next ones, of about ROWS_OF_A_ROUND rows. rows: of one batch."""
    size = min(batches, -(-ROWS_OF_A_ROUND // rows))
    return [(number * size + place) % batches for place in range(size)]


def block_sizes(once: Mapping[str, float]) -> dict[str, tuple[int, int]]:
    """Calls of a block, and calls thrown away before them, by contender; once: the seconds of its call.

    A quartile of few calls is lower than one of many, so contenders of nearly the same speed make as many
    calls. But two calls of 0.3 ms behind a teacher of 9 ms are a block that one hiccup decides: 18 times as
    fast was told as [7.4, 29].
    """
    shared = fmean(once.values())
    return {name: block_size(own if own < shared / 2 else shared) for name, own in once.items()}


def block_size(once: float) -> tuple[int, int]:
    """Calls that fill a block, and calls thrown away before them, for a call that takes `once` seconds."""
    calls = int(np.clip(round(BLOCK_SECONDS / max(once, 1e-9)), 1, MOST_CALLS))
    return calls, 2 if once < SHORT_CALL_SECONDS else 1


def _times(blocks: Mapping[str, Sequence[Block]]) -> dict[str, Floats]:
    return {name: block_seconds(own) for name, own in blocks.items()}


def block_seconds(blocks: Sequence[Block]) -> Floats:
    """The lower quartile of a batch's calls, without what other processes took, as a mean over the batches.

    (blocks,), each of as many calls and batches.
    """
    net = np.asarray([block.seconds for block in blocks]) - np.asarray([block.waited for block in blocks])
    by_batch = net.reshape(len(blocks), blocks[0].turns, -1)
    times: Floats = np.quantile(by_batch, 0.25, axis=2).mean(axis=1)
    return times


def fastest_call(blocks: Sequence[Block]) -> float:
    """The fastest call of all blocks; of blocks of several batches, the fastest block's mean over them."""
    if blocks[0].turns > 1:
        return float(block_seconds(blocks).min())
    return min(one - out for block in blocks for one, out in zip(block.seconds, block.waited, strict=True))


def seconds_of_a_call(contender: Contender) -> float:
    """The time of a call, after some that warm the model up: the first ones allocate what it needs."""
    once = float(block_seconds([contender.block(1, discard=1)])[0])
    return once if once > BLOCK_SECONDS else float(block_seconds([contender.block(5, discard=3)])[0])


def _start() -> tuple[Any, Any]:
    """Our end of the pipe, and the process at the other."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return ours, process
