"""The duel: contenders, each in a process of its own, take turns by short blocks in random order.

Two runtimes in one process steal each other's cores (idle thread pools spin), and times that are taken one
model after another carry the machine's drift. So every round gives each contender one block of calls, the
first calls of a block are thrown away, and only times of one round are compared.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.errors import MeasureError
from slimgate.measure.duel_worker import PRELOAD, serve
from slimgate.protocols import Arrays

# A block is long enough for the clock and for the caches, and short enough for many turns.
BLOCK_SECONDS = 0.02
# Fewer rounds than this, and the bootstrap's 95 % interval of a median holds only 88 %.
MIN_ROUNDS = 12
MAX_ROUNDS = 200
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
class DuelTimes:
    """Per contender the medians of its blocks, one a round, in seconds: (rounds,); and its fastest call."""

    medians: Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
    fastest: Mapping[str, float]
    rounds: int


class Contender:
    """A contender's process, forked from a server that has the heavy imports behind it."""

    def __init__(self, spec: ContenderSpec) -> None:
        """Loads the model. Raises MeasureError where that fails."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.spec = spec
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        loading = {"folder": str(spec.folder), "runtime": spec.runtime, "params": spec.params}
        try:
            self._ask({"load": {**loading, "device": spec.device, "threads": spec.threads}})
        except MeasureError:
            self.close()
            raise

    def prepare(self, inputs: Arrays) -> None:
        """Hands over the batch of the next blocks."""
        self._ask({"inputs": dict(inputs)})

    def block(self, calls: int, *, discard: int) -> list[float]:
        """Seconds of each call of one block, after `discard` calls that do not count."""
        seconds: list[float] = self._ask({"calls": calls, "discard": discard})["seconds"]
        return seconds

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._pipe.send(command)
            if not self._pipe.poll(PATIENCE_SECONDS):
                raise MeasureError(
                    f"{self.spec.name}: no answer for {PATIENCE_SECONDS:.0f} s while being timed"
                )
            answer: dict[str, Any] = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(timeout=5)
            answer = {"error": f"it ended with code {self._process.exitcode}"}
        if "error" in answer:
            raise MeasureError(f"{self.spec.name}: the process that times it failed: {answer['error']}")
        return answer


def duel(
    contenders: Sequence[Contender], inputs: Mapping[str, Arrays], *, seed: int, max_seconds: float
) -> DuelTimes:
    """Rounds of blocks until `max_seconds` are used, at least MIN_ROUNDS.

    inputs: by contender its batch of the same rows. The order of the turns is drawn anew each round.
    """
    start = time.perf_counter()
    for contender in contenders:
        contender.prepare(inputs[contender.spec.name])
    sizes = {contender.spec.name: _block_size(contender) for contender in contenders}
    blocks: dict[str, list[list[float]]] = {contender.spec.name: [] for contender in contenders}
    turns, generator, rounds = list(contenders), random.Random(seed), 0
    while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and time.perf_counter() - start < max_seconds):
        generator.shuffle(turns)
        for contender in turns:
            calls, discard = sizes[contender.spec.name]
            blocks[contender.spec.name].append(contender.block(calls, discard=discard))
        rounds += 1
    return DuelTimes(
        medians={name: np.asarray([np.median(block) for block in own]) for name, own in blocks.items()},
        fastest={name: min(min(block) for block in own) for name, own in blocks.items()},
        rounds=rounds,
    )


def _block_size(contender: Contender) -> tuple[int, int]:
    """Calls that fill a block, and calls thrown away before them; the first block also warms the model up."""
    once = float(np.median(contender.block(3, discard=2)))
    calls = int(np.clip(round(BLOCK_SECONDS / max(once, 1e-9)), 1, 50))
    return calls, 2 if once < BLOCK_SECONDS else 1
