"""Contenders of a duel in a process of their own, each called when it is its turn.

Between turns the process is blocked on its pipe, so that it takes nothing from the contender whose turn it
is. Each command is a dict that names its contender, answered by a dict:

    {"name", "load": {"folder", "runtime", "params", "device", "threads"}}   -> {"seconds": …, "threads": 2}
    {"name", "inputs": {name: array}}                                        -> {"ready": True}
    {"name", "delay": 0.0005}                                                -> {"ready": True}
    {"name", "calls": 8, "discard": 2}                                       -> {"seconds": [8 times]}

An error is answered by {"error": "…"}; a closed pipe ends the process.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# What the server of these processes imports once, before it forks them: seconds that each would take.
PRELOAD = ["torch", "transformers", "slimgate.torch_model", "slimgate.measure.duel_worker"]


class Delayed:
    """A predictor that is slower than it need be: after each call it waits, busily, so many seconds."""

    def __init__(self, predictor: Any, seconds: float) -> None:
        self._predictor, self._seconds = predictor, seconds
        self.prepare = predictor.prepare

    def forward(self, prepared: Any) -> Any:
        """One call and the wait; sleeping would hand the core over and cost more than was asked."""
        output = self._predictor.forward(prepared)
        end = time.perf_counter() + self._seconds
        while time.perf_counter() < end:
            continue
        return output


class Contender:
    """A loaded model and its prepared inputs."""

    def __init__(self) -> None:
        self._predictor: Any = None
        self._prepared: Any = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command."""
        if "load" in command:
            return self._load(**command["load"])
        if "inputs" in command:
            self._prepared = self._predictor.prepare(command["inputs"])
            return {"ready": True}
        if "delay" in command:
            self._predictor = Delayed(self._predictor, command["delay"])
            return {"ready": True}
        return {"seconds": self._time(command["calls"], command["discard"])}

    def _load(self, *, folder: str, runtime: str, params: Any, device: str, threads: int) -> dict[str, Any]:
        from slimgate.loading import load

        start = time.perf_counter()
        _pin_torch(threads)
        plugin = load("runtime", runtime)
        options = plugin.Params.model_validate(params)
        self._predictor = plugin.load(Path(folder), options, device=device, threads=threads)
        seconds = time.perf_counter() - start
        gc.disable()
        gc.collect()
        gc.freeze()  # what is loaded stays: collecting between blocks then takes no time
        return {"seconds": seconds, "threads": _threads(threads)}

    def _time(self, calls: int, discard: int) -> list[float]:
        forward, prepared = self._predictor.forward, self._prepared
        gc.collect()
        for _ in range(discard):
            forward(prepared)
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            forward(prepared)
            seconds.append(time.perf_counter() - start)
        return seconds


def _pin_torch(threads: int) -> None:
    """PyTorch, where it is loaded, gets the threads whatever the runtime does with it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _threads(asked: int) -> int:
    """The threads that PyTorch says it has after loading, where it is loaded; else those asked for."""
    torch = sys.modules.get("torch")
    return asked if torch is None else int(torch.get_num_threads())


def serve(pipe: Connection) -> None:
    """Answers commands until the pipe is closed."""
    contenders: dict[str, Contender] = {}
    # the pipe breaks where the other process was killed: there is nobody to tell
    with suppress(EOFError, OSError):
        while True:
            command = pipe.recv()
            pipe.send(_answer(contenders.setdefault(command.pop("name"), Contender()), command))


def _answer(contender: Contender, command: dict[str, Any]) -> dict[str, Any]:
    try:
        return contender.answer(command)
    except Exception as error:  # the other process tells it, with the variant's name
        return {"error": f"{type(error).__name__}: {error}"}
