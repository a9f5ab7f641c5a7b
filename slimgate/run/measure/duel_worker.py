"""The process of a duel's contenders, which calls each contender when it is its turn.

Between turns the process is blocked on its pipe, so that it takes no time from the current contender. Each
command is a dict that names its contender; the answer is a dict:

    {"name", "load": {"folder", "runtime", "params", "device", "threads"}}   -> {"seconds": …, "threads": 2}
    {"name", "inputs": [{name: array}, …], "part": "forward"}                -> {"ready": True}
    {"name", "delay": 0.0005}                                                -> {"ready": True}
    {"name", "calls": 8, "discard": 2, "turns": [0]}                         -> {"seconds": [8 times],
                                                                                 "waited": [8 times],
                                                                                 "queued_threads": 0.0,
                                                                                 "cores": 1.0}

turns: the inputs to call, one after another, each `calls` times. The inputs of the part e2e are Texts. After
a turn, the process waits until its other threads sleep, because PyTorch's threads spin for milliseconds after
a call and would take a core from the next contender.

An error is answered by {"error": "…"}; a closed pipe ends the process.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slimgate._system.threads import count_allowed_cores, make_tokenizer_settings
from slimgate.errors import MeasureError
from slimgate.plugins.workloads import TimedPart
from slimgate.run.measure.device_clock import DeviceClock, WallClock, make_device_clock
from slimgate.run.measure.end_to_end import Texts
from slimgate.run.measure.timed_call import (
    CallInputs,
    TimedCall,
    check_forward,
    make_timed_call,
    prepare_inputs,
)

if TYPE_CHECKING:
    from slimgate.plugins.base import Json


# After a turn, the process polls its threads until they sleep: the seconds between two polls, and the seconds
# after which the turn ends anyway. libgomp's threads spin for about 8 ms. With OMP_WAIT_POLICY=active, they
# spin for ever.
_POLL_SECONDS, _MAX_SPINNING_SECONDS = 0.0005, 0.03
_THREADS = Path("/proc/self/task")
T = TypeVar("T")


class QueueClock:
    """Measures how long this thread was ready to run while other processes had its core, on Linux.

    It reads the second number of /proc/thread-self/schedstat: nanoseconds spent waiting on a run queue. Time
    that the process's own other threads may have used is not counted, or a model that blocks itself would
    look fast. On other systems, and if the kernel does not report it, the time is 0.
    """

    def __init__(self, path: Path = Path("/proc/thread-self/schedstat")) -> None:
        self._file = os.open(path, os.O_RDONLY) if path.exists() else None
        self._began = self._queued = self._others = 0.0

    def __enter__(self) -> QueueClock:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def start(self) -> None:
        """Starts counting."""
        self._began = time.perf_counter()
        self._others, self._queued = _read_other_threads(), self._read()

    def stop(self, seconds: float) -> float:
        """How long, during a call of `seconds` since `start`, another process had the core.

        Waiting before and after the call does not belong to the call: all time passed there is subtracted.
        """
        queued = self._read() - self._queued
        other_threads = _read_other_threads() - self._others
        between = time.perf_counter() - self._began - seconds
        return max(0.0, queued - other_threads - between)

    def _read(self) -> float:
        return 0.0 if self._file is None else _parse_queued_seconds(os.pread(self._file, 64, 0))


def _read_other_threads() -> float:
    return time.process_time() - time.thread_time()


def read_queued_seconds(tasks: Path = _THREADS) -> float:
    """How long all threads of this process, summed, were ready to run and had no core.

    On systems other than Linux, and if the kernel does not report it, it is 0.
    """
    seconds = 0.0
    for file in tasks.glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended
            seconds += _parse_queued_seconds(file.read_bytes())
    return seconds


def count_queued_threads(queued: float, used: float, seconds: float, cores: int) -> float:
    """How many threads of a process other processes kept from running, on average over a time.

    A model with more threads than there are cores makes its own threads wait, such as those of its tokenizer
    while those of its runtime run. Then the process uses all cores. So no more threads count than there were
    cores that the process did not use.

    Args:
        queued: seconds that the threads, summed, were ready to run and had no core.
        used: seconds of the processor that the process used.
        seconds: the length of the time.
        cores: the number of cores that the process may use.
    """
    return max(0.0, min(queued, cores * seconds - used) / seconds)


def wait_until_threads_sleep(tasks: Path = _THREADS) -> None:
    """Returns when no other thread of this process runs, at the latest after 30 ms.

    On systems other than Linux, it returns at once.
    """
    this_thread, end = str(threading.get_native_id()), time.perf_counter() + _MAX_SPINNING_SECONDS
    while count_running_threads(tasks, without=this_thread) and time.perf_counter() < end:
        time.sleep(_POLL_SECONDS)


def count_running_threads(tasks: Path, *, without: str) -> int:
    """The threads of a process that run or wait for a core. without: the ID of a thread not to count."""
    running = 0
    for file in tasks.glob("*/stat"):
        if file.parent.name != without:
            with suppress(OSError, IndexError):  # a thread that has ended
                # "ID (NAME) STATE …"; the name may have parentheses
                running += file.read_bytes().rpartition(b")")[2].split()[0] == b"R"
    return running


def _parse_queued_seconds(schedstat: bytes) -> float:
    """The time on a run queue: the second number of a schedstat file, in nanoseconds."""
    return int(schedstat.split()[1]) / 1e9


def delay_call(call: Callable[[T], object], seconds: float) -> Callable[[T], object]:
    """The call with a busy wait of `seconds` after it."""
    if not seconds:
        return call

    def slower(argument: T) -> object:
        """One call and the wait; sleeping would give up the core and take longer than `seconds`."""
        output = call(argument)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            continue
        return output

    return slower


class TimedModel:
    """A loaded model with its calls on prepared inputs."""

    def __init__(self) -> None:
        self._predictor: Any = None
        self._calls: list[TimedCall] = []
        self._delay = 0.0
        self._threads, self._device = 1, ""
        self._clock: DeviceClock = WallClock()

    def answer(self, command: Json) -> dict[str, Any]:
        """Carries out one command."""
        if "load" in command:
            return self._load(**command["load"])
        if "inputs" in command:
            return self._prepare(command["inputs"], command["part"])
        if "delay" in command:
            self._delay = command["delay"]
            return {"ready": True}
        return self._take_turn(command["calls"], command["discard"], command["turns"])

    def _take_turn(self, calls: int, discard: int, turns: list[int]) -> dict[str, Any]:
        """Calls the model, and waits until the threads of this process sleep."""
        queued, used, began = read_queued_seconds(), time.process_time(), time.perf_counter()
        seconds, waited = self._time_calls(calls, discard, turns)
        length = time.perf_counter() - began
        queued, used = read_queued_seconds() - queued, time.process_time() - used
        wait_until_threads_sleep()
        return {
            "seconds": seconds,
            "waited": waited,
            "queued_threads": count_queued_threads(queued, used, length, count_allowed_cores()),
            "cores": used / length,
        }

    def _prepare(self, inputs: Sequence[CallInputs], part: TimedPart) -> dict[str, Any]:
        if isinstance(inputs[0], Texts):  # before the tokenizer starts its threads
            os.environ.update(make_tokenizer_settings(self._threads, len(inputs[0].rows)))
        prepared = prepare_inputs(self._predictor, inputs)
        if self._device == "cpu":
            check_forward(self._predictor, inputs[0])
        self._calls = [make_timed_call(self._predictor, call_inputs, part) for call_inputs in prepared]
        return {"ready": True}

    def _load(
        self, *, folder: str, runtime: str, params: object, device: str, threads: int
    ) -> dict[str, Any]:
        from slimgate.plugins.loading import load

        gc.freeze()  # so the collection after loading does not visit what the fork server imported
        start = time.perf_counter()
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(threads)
        self._threads, self._device = threads, device
        plugin = load("runtime", runtime)
        options = plugin.Params.model_validate(params)
        self._predictor = plugin.load(Path(folder), options, device=device, threads=threads)
        self._clock = make_device_clock(device)
        seconds = time.perf_counter() - start
        gc.disable()
        gc.collect()
        gc.freeze()  # loaded objects stay, so collecting between blocks takes no time
        torch = sys.modules.get("torch")  # the runtime may have loaded it
        return {"seconds": seconds, "threads": threads if torch is None else int(torch.get_num_threads())}

    def _time_calls(self, calls: int, discard: int, turns: list[int]) -> tuple[list[float], list[float]]:
        """Seconds of each call, and the part of them in which another process had the core."""
        if not self._calls:
            raise MeasureError("a contender was called before it had inputs")
        timed_calls = [self._calls[turn] for turn in turns]
        timed = [(timed_call.begin, delay_call(timed_call.call, self._delay)) for timed_call in timed_calls]
        gc.collect()
        begin, call = timed[0]
        for _ in range(discard):
            call(begin())
        seconds, waited = [], []
        with QueueClock() as queue:
            for begin, call in timed:
                for _ in range(calls):
                    argument = begin()
                    queue.start()
                    seconds.append(self._clock.time(call, argument))
                    waited.append(queue.stop(seconds[-1]))
        return seconds, waited


def serve(pipe: Connection) -> None:
    """Answers commands until the pipe is closed."""
    contenders: dict[str, TimedModel] = {}
    # the pipe breaks if the other process was killed: then no process reads the answer
    with suppress(EOFError, OSError):
        while True:
            command = pipe.recv()
            contender = contenders.setdefault(command.pop("name"), TimedModel())
            try:
                answer = contender.answer(command)
            except Exception as error:  # the other process raises it, with the variant's name
                answer = {"error": f"{type(error).__name__}: {error}"}
            pipe.send(answer)
