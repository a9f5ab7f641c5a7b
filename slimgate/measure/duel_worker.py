"""One contender of a duel: a process that holds one loaded model and calls it when it is its turn.

Between turns it is blocked on its pipe, so that it takes nothing from the contender whose turn it is. Each
command is a dict, answered by a dict:

    {"load": {"folder", "runtime", "params", "device", "threads"}}   -> {"seconds": …}
    {"inputs": {name: array}}                                        -> {"ready": True}
    {"calls": 8, "discard": 2}                                       -> {"seconds": [8 times]}

An error is answered by {"error": "…"}; a closed pipe ends the process.
"""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# What the server of these processes imports once, before it forks them: seconds that each would take.
PRELOAD = ["torch", "transformers", "slimgate.torch_model", "slimgate.measure.duel_worker"]


class Contender:
    """A loaded model and its prepared inputs."""

    def __init__(self) -> None:
        self._predictor: Any = None
        self._prepared: Any = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command."""
        if "load" in command:
            return {"seconds": self._load(**command["load"])}
        if "inputs" in command:
            self._prepared = self._predictor.prepare(command["inputs"])
            return {"ready": True}
        return {"seconds": self._time(command["calls"], command["discard"])}

    def _load(self, *, folder: str, runtime: str, params: Any, device: str, threads: int) -> float:
        from slimgate.loading import load

        start = time.perf_counter()
        plugin = load("runtime", runtime)
        options = plugin.Params.model_validate(params)
        self._predictor = plugin.load(Path(folder), options, device=device, threads=threads)
        return time.perf_counter() - start

    def _time(self, calls: int, discard: int) -> list[float]:
        forward, prepared = self._predictor.forward, self._prepared
        for _ in range(discard):
            forward(prepared)
        gc.disable()
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            forward(prepared)
            seconds.append(time.perf_counter() - start)
        gc.enable()
        return seconds


def serve(pipe: Connection) -> None:
    """Answers commands until the pipe is closed."""
    contender = Contender()
    # the pipe breaks where the other process was killed: there is nobody to tell
    with suppress(EOFError, OSError):
        while True:
            command = pipe.recv()
            pipe.send(_answer(contender, command))


def _answer(contender: Contender, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return contender.answer(command)
    except Exception as error:  # the other process tells it, with the variant's name
        return {"error": f"{type(error).__name__}: {error}"}
