"""Times contenders in a duel: each has its own process, and they take turns in short blocks in random order.

Two runtimes in one process steal each other's cores (idle thread pools spin), and times that are taken one
model after another include the machine's drift. So every round gives each contender one block of calls, the
first calls of a block are discarded, and only times of one round are compared.

If a core is shared, the scheduler may give another process a turn during a call: the call takes 2 ms or 6 ms.
A block's median, mean and minimum then jump between the two, and twelve rounds gave noise floors of up to
1.15. So the time in which another process had the core is subtracted from each call
(duel_worker.QueueClock), and a block's time is the lower quartile of its calls: cold caches, and what cannot
be subtracted (waits of the model's other threads), make a call longer, never shorter. Absolute latencies are
wall-clock times.

In a suite with a cascade, a call's time depends on its row. A block then calls many different rows, the same
rows for every contender of the round, each a few times. Its time is the mean over the rows of the lower
quartile of each row's calls. The next round uses the next rows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from slimgate._system.forkserver import start_forkserver
from slimgate._system.number_text import format_count
from slimgate._system.worker import describe_end
from slimgate.errors import MeasureError
from slimgate.outcomes import Floats
from slimgate.plugins.workloads import END_TO_END, TimedPart
from slimgate.run.measure.duel_worker import serve
from slimgate.run.measure.end_to_end import Texts
from slimgate.run.measure.timed_call import CallInputs

# Gets one time for each round by contender; says whether the rounds so far suffice.
Enough = Callable[[Mapping[str, Floats]], bool]

# A block is long enough for a quartile, and short enough for many turns.
BLOCK_SECONDS = 0.016
MOST_CALLS = 32
# Caches are cold after another model's turn: short calls need more than one call to warm up.
SHORT_CALL_SECONDS = 0.001
# The strict level of the rule that ends a duel early needs 11 rounds: for fewer, 2 / 2^rounds exceeds 0.1 %.
MIN_ROUNDS = 12
MAX_ROUNDS = 400
# Rounds of the interim analyses, each at twice the rounds of the last: each one is a chance to stop by luck.
INTERIM_ROUNDS = (12, 24, 48, 96, 192)
# If rows differ in time: the rows of a round, so that each has about the same share of slow rows, and the
# calls of each row.
ROWS_OF_A_ROUND, CALLS_OF_A_ROW = 32, 2
# A model may use this much more than the cores of its threads, for the process's own work.
MORE_CORES = 0.5
# How long a process may take for loading or for one block before it counts as dead.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class ContenderSpec:
    """The model that a contender's process loads."""

    name: str
    folder: Path
    runtime: str
    params: Any
    device: str
    threads: int


class BlockSize(NamedTuple):
    """The calls of a block, for each of its batches, and the calls discarded before them."""

    calls: int
    discard: int


@dataclass(frozen=True)
class Block:
    """One turn. seconds: of each call; waited: the part of them in which other processes had the core.

    turns: the number of batches that were called, one after another, each equally often. queued_threads: how
    many of the process's threads other processes kept from running, on average over the turn. cores: how many
    cores the process used, on average over the turn.
    """

    seconds: Sequence[float]
    waited: Sequence[float]
    turns: int = 1
    queued_threads: float = 0.0
    cores: float = 0.0


@dataclass(frozen=True)
class DuelTimes:
    """Times by contender. blocks: (rounds,) seconds; fastest: its fastest call; calls: its calls a block.

    queued_threads: the median over its blocks.
    """

    blocks: Mapping[str, Floats]
    fastest: Mapping[str, float]
    rounds: int
    calls: Mapping[str, int]
    queued_threads: Mapping[str, float]


class Contender:
    """A contender's process, forked from a server that has done the heavy imports."""

    def __init__(self, spec: ContenderSpec, *, host: Contender | None = None, wait: bool = True) -> None:
        """Loads the model. host: the contender whose process it shares; both need the same runtime.

        wait: whether to wait for the model. Otherwise `wait_until_loaded` has to be called before all else,
        and other contenders can load their models meanwhile. Raises MeasureError if loading fails.
        """
        if host is not None and host.spec.runtime != spec.runtime:
            raise MeasureError(
                f"{spec.name} ({spec.runtime}) and {host.spec.name} ({host.spec.runtime}) cannot share a "
                "process: two runtimes steal each other's cores; give each its own"
            )
        self.spec: ContenderSpec = spec
        self._shares = host is not None
        self._pipe: Any
        self._process: Any
        self._pipe, self._process = _start_process() if host is None else (host._pipe, host._process)
        loading = {"folder": str(spec.folder), "runtime": spec.runtime, "params": spec.params}
        self._send({"load": {**loading, "device": spec.device, "threads": spec.threads}})
        if wait:
            self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Waits for the model. Sets `threads`, the number of threads that the process reports.

        Raises MeasureError if loading fails.
        """
        try:
            answer = self._receive()
        except MeasureError:
            self.close()
            raise
        self.threads = int(answer["threads"])

    def prepare(self, inputs: Sequence[CallInputs], part: TimedPart = "forward") -> None:
        """Sends the batches of the next blocks, and the part of a call that is timed."""
        sendable = [
            call_inputs if isinstance(call_inputs, Texts) else dict(call_inputs) for call_inputs in inputs
        ]
        self._ask({"inputs": sendable, "part": part})

    def delay(self, seconds: float) -> None:
        """Adds a busy wait of this many seconds to every following call; 0 ends an earlier delay."""
        self._ask({"delay": seconds})

    def time_block(self, calls: int, *, discard: int, turns: Sequence[int] = (0,)) -> Block:
        """Times one block, after `discard` calls that do not count. turns: the batches to call, in order."""
        command = {"calls": calls, "discard": discard, "turns": list(turns)}
        return Block(**self._ask(command), turns=len(turns))

    def close(self) -> None:
        """Ends the process, unless it belongs to another contender."""
        if self._shares:
            return
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, command: Mapping[str, object]) -> dict[str, Any]:
        self._send(command)
        return self._receive()

    def _send(self, command: Mapping[str, object]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `_receive` says how the process ended
            self._pipe.send({"name": self.spec.name, **command})

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._pipe.poll(PATIENCE_SECONDS):
                raise MeasureError(
                    f"{self.spec.name}: no answer for {PATIENCE_SECONDS:.0f} s while being timed"
                )
            answer: dict[str, Any] = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(timeout=5)
            answer = {"error": describe_end(self._process.exitcode)}
        if "error" in answer:
            raise MeasureError(f"{self.spec.name}: the timing process failed: {answer['error']}")
        return answer


def run_duel(
    contenders: Sequence[Contender],
    inputs: Mapping[str, Sequence[CallInputs]],
    *,
    seed: int,
    max_seconds: float,
    enough: Enough | None = None,
    part: TimedPart = "forward",
) -> DuelTimes:
    """Times rounds of blocks until `max_seconds` are used or `enough` is true, but at least MIN_ROUNDS.

    inputs: by contender its batches of the same rows; with several batches each round uses the next ones.
    part: the part of a call that is timed.

    All contenders make the same number of calls a block, except much faster or slower ones, which fill a
    block of their own (`choose_block_sizes`). `enough` is called only at INTERIM_ROUNDS, because a rule that
    is applied after each round stops at its luckiest moment. If the shared call takes below 1 ms, MIN_ROUNDS
    counts twice.
    """
    for contender in contenders:
        contender.prepare(inputs[contender.spec.name], part)
    call_seconds = {contender.spec.name: time_call(contender) for contender in contenders}
    batches = len(next(iter(inputs.values())))
    sizes = dict.fromkeys(call_seconds, BlockSize(CALLS_OF_A_ROW, discard=1))
    if batches == 1:
        sizes = choose_block_sizes(call_seconds)
    rows = 1 if batches == 1 else _count_rows(next(iter(inputs.values()))[0])
    least = MIN_ROUNDS * (2 if compute_shared_seconds(call_seconds) < SHORT_CALL_SECONDS else 1)
    blocks: dict[str, list[Block]] = {contender.spec.name: [] for contender in contenders}
    orders, rounds, start = _draw_orders(contenders, seed), 0, time.perf_counter()
    while rounds < least or (rounds < MAX_ROUNDS and time.perf_counter() - start < max_seconds):
        if enough and least <= rounds and rounds in INTERIM_ROUNDS and enough(_compute_times(blocks)):
            break
        called = choose_turns(rounds, batches, rows)
        for contender in next(orders):
            size = sizes[contender.spec.name]
            block = contender.time_block(size.calls, discard=size.discard, turns=called)
            blocks[contender.spec.name].append(block)
        rounds += 1
    if part != END_TO_END:
        for contender in contenders:
            _check_cores(contender.spec, blocks[contender.spec.name])
    return DuelTimes(
        blocks=_compute_times(blocks),
        fastest={name: find_fastest_call(own_blocks) for name, own_blocks in blocks.items()},
        rounds=rounds,
        calls={name: size.calls for name, size in sizes.items()},
        queued_threads={
            name: median(block.queued_threads for block in own_blocks) for name, own_blocks in blocks.items()
        },
    )


def _draw_orders(contenders: Sequence[Contender], seed: int) -> Iterator[list[Contender]]:
    """The order of turns in each round: drawn for every second round, then reversed (ABBA)."""
    turns, generator = list(contenders), random.Random(seed)
    while True:
        generator.shuffle(turns)
        yield turns
        turns.reverse()
        yield turns


def _check_cores(spec: ContenderSpec, blocks: Sequence[Block]) -> None:
    """Raises MeasureError for a contender with more threads than the suite gives to each model.

    End to end this is not checked: the threads of a tokenizer may still spin when those of the model run.
    """
    cores = median(block.cores for block in blocks)
    if cores > spec.threads + MORE_CORES:
        raise MeasureError(
            f"{spec.name}: its calls use {cores:.1f} cores, but each model has "
            f"{format_count(spec.threads, 'thread', 'threads')}; a runtime must obey the number that "
            "load() gets"
        )


def _count_rows(inputs: CallInputs) -> int:
    return len(inputs.rows if isinstance(inputs, Texts) else next(iter(inputs.values())))


def choose_turns(number: int, batches: int, rows: int) -> list[int]:
    """The batches that a round calls: the next ones, of about ROWS_OF_A_ROUND rows. rows: of one batch."""
    size = min(batches, -(-ROWS_OF_A_ROUND // rows))
    return [(number * size + call) % batches for call in range(size)]


def compute_shared_seconds(call_seconds: Mapping[str, float]) -> float:
    """The mean call of the first two contenders and the fastest of the others.

    Slower ones do not count: beside a slow companion, the teacher and its copy would seem fast.
    call_seconds: in the order of the contenders.
    """
    first, second, *variants = call_seconds.values()
    return fmean([first, second, *sorted(variants)[:1]])


def choose_block_sizes(call_seconds: Mapping[str, float]) -> dict[str, BlockSize]:
    """The size of each contender's blocks. call_seconds: in the order of the contenders.

    A quartile of few calls is lower than one of many, so contenders of nearly the same speed make equally
    many calls. But two calls of 0.3 ms next to a teacher of 9 ms are a block that one hiccup decides: a
    speed-up of 18 was reported as [7.4, 29]. So contenders that are over twice as fast or as slow as the
    shared call fill a block of their own.
    """
    shared = compute_shared_seconds(call_seconds)
    return {
        name: choose_block_size(shared if shared / 2 <= own_seconds <= 2 * shared else own_seconds)
        for name, own_seconds in call_seconds.items()
    }


def choose_block_size(call_seconds: float) -> BlockSize:
    """The number of calls that fills a block."""
    calls = int(np.clip(round(BLOCK_SECONDS / max(call_seconds, 1e-9)), 1, MOST_CALLS))
    return BlockSize(calls, discard=2 if call_seconds < SHORT_CALL_SECONDS else 1)


def _compute_times(blocks: Mapping[str, Sequence[Block]]) -> dict[str, Floats]:
    return {name: compute_block_seconds(own_blocks) for name, own_blocks in blocks.items()}


def compute_block_seconds(blocks: Sequence[Block]) -> Floats:
    """(blocks,) the lower quartile of a batch's calls, without other processes' time, averaged over batches.

    All blocks have the same number of calls and batches.
    """
    net = np.asarray([block.seconds for block in blocks]) - np.asarray([block.waited for block in blocks])
    by_batch = net.reshape(len(blocks), blocks[0].turns, -1)
    times: Floats = np.quantile(by_batch, 0.25, axis=2).mean(axis=1)
    return times


def find_fastest_call(blocks: Sequence[Block]) -> float:
    """The fastest call of all blocks; if blocks have several batches, the time of the fastest block."""
    if blocks[0].turns > 1:
        return float(compute_block_seconds(blocks).min())
    return min(
        seconds - out for block in blocks for seconds, out in zip(block.seconds, block.waited, strict=True)
    )


def time_call(contender: Contender) -> float:
    """The time of a call, after calls that warm the model up: the first ones allocate memory."""
    block = contender.time_block(1, discard=1)
    if compute_block_seconds([block])[0] <= BLOCK_SECONDS:
        block = contender.time_block(5, discard=3)
    return float(compute_block_seconds([block])[0])


def _start_process() -> tuple[Any, Any]:
    """Starts a process; returns our end of the pipe, and the process."""
    context = start_forkserver()
    pipe, worker_pipe = context.Pipe()
    process = context.Process(target=serve, args=(worker_pipe,), daemon=True)
    process.start()
    worker_pipe.close()
    return pipe, process
