"""The overhead of slimgate over a bare loop of httpx: time and CPU of a request to a server of a known time.

    python -m tools.measuring.endpoint_overhead [--users 8 32] [--answer-ms 100 200 500] [--rounds 12]
        [--requests 20] [--streams]

The server runs in a separate process and answers each request after the same time. Both ways send the same
JSON and read the answer. In a round each way has one block; the order changes from round to round.
`--requests`: of each user in a block. `--streams`: answers come in PIECES pieces, as in loads, and both ways
time each piece. The time of a request is the wall time of a block, times users, divided by requests. CPU is
that of this process. Intervals are exact for the median over the rounds, at 95 %. Run it on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import SlimgateError
from slimgate.models.ask import Request, open_client
from slimgate.models.stream import send_closed_loop
from slimgate.models.write_answers import SamplingParams
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.endpoint import EndpointPredictor, EndpointTable
from slimgate.tasks.parts.endpoint_prompts import ask_for_answers, make_endpoint_prompts, make_request_options
from tools.measuring.fixed_time_server import PIECES, TEXT

BARE, OURS = "bare httpx", "slimgate"
PROMPT = "question {}: " + "a prompt of some hundred characters, " * 10
SAMPLING = SamplingParams(max_new_tokens=PIECES)
OPTIONS = make_request_options(SAMPLING, 0)
HEAD = """\
| answer | users | a request, bare | slimgate | more [95 %] | CPU, bare | slimgate | more [95 %] |
|---:|---:|---:|---:|---:|---:|---:|---:|
"""
# Sends all requests once, and returns the number of answers.
Way = Callable[[], int]
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """(rounds,) seconds of a request by way: wall time, and CPU time of this process."""

    wall: Mapping[str, Seconds]
    cpu: Mapping[str, Seconds]

    def compute_wall_share(self) -> tuple[float, float, float]:
        """Additional wall time of slimgate as a share of the bare loop's: median and interval."""
        return estimate_median(self.wall[OURS] / self.wall[BARE] - 1)

    def compute_cpu_share(self) -> tuple[float, float, float]:
        """Additional CPU time of slimgate as a share of the bare loop's: median and interval."""
        return estimate_median(self.cpu[OURS] / self.cpu[BARE] - 1)

    def compute_cpu_ms(self) -> tuple[float, float, float]:
        """Additional CPU milliseconds of slimgate: median and interval."""
        return estimate_median(1000 * (self.cpu[OURS] - self.cpu[BARE]))


def estimate_median(values: Seconds) -> tuple[float, float, float]:
    """The median, and its interval. With too few values the interval is nan."""
    from scipy.stats import quantile_test

    interval: Any = quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    low, high = interval
    return float(np.median(values)), float(low), float(high)


def main(arguments: Sequence[str]) -> int:
    """Writes the table to stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--answer-ms", type=float, nargs="+", default=[100, 200, 500])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--streams", action="store_true")
    options = parser.parse_args(arguments)
    sys.stdout.write(HEAD)
    for answer_ms in options.answer_ms:
        for users in options.users:
            with serving(answer_ms / 1000) as url, tempfile.TemporaryDirectory() as folder:
                make = make_streamed_ways if options.streams else make_ways
                count = users * options.requests
                costs = measure(make(url, users, count, Path(folder)), users, count, rounds=options.rounds)
            sys.stdout.write(format_row(costs, answer_ms, users))
            sys.stdout.flush()
    return 0


def format_row(costs: Costs, answer_ms: float, users: int) -> str:
    """A row of the table."""
    share, low, high = (100 * value for value in costs.compute_wall_share())
    more, least, largest = costs.compute_cpu_ms()
    wall, cpu = (
        {name: 1000 * np.median(seconds) for name, seconds in by_way.items()}
        for by_way in (costs.wall, costs.cpu)
    )
    return (
        f"| {answer_ms:g} ms | {users} | {wall[BARE]:.2f} ms | {wall[OURS]:.2f} ms "
        f"| {share:.1f} % [{low:.1f}, {high:.1f}] | {cpu[BARE]:.3f} ms | {cpu[OURS]:.3f} ms "
        f"| {more:.3f} ms [{least:.3f}, {largest:.3f}] |\n"
    )


def measure(calls: Mapping[str, Way], users: int, count: int, *, rounds: int) -> Costs:
    """Runs a block of each way in every round; the first round does not count. Raises for a lost answer."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in sorted(calls, reverse=bool(number % 2)):
            start, used = time.perf_counter(), time.process_time()
            answered = calls[name]()
            spent, used = time.perf_counter() - start, time.process_time() - used
            if answered != count:
                raise SlimgateError(f"{name}: {answered} of {count} requests were answered")
            if number:
                wall[name].append(spent * users / count)
                cpu[name].append(used / count)
    return Costs(*({name: np.asarray(seconds) for name, seconds in by_way.items()} for by_way in (wall, cpu)))


def make_ways(url: str, users: int, count: int, folder: Path) -> dict[str, Way]:
    """Both ways for whole answers. slimgate writes each answer to a file of the folder, as a run does."""
    from httpx2 import AsyncClient

    endpoint = EndpointTable(url=url, model="m", concurrency=users)
    rows = [PROMPT.format(row) for row in range(count)]
    prompts = make_endpoint_prompts(rows, list(map(str, range(count))), chat=True)
    bodies = [{"model": "m", "messages": prompt, **OPTIONS} for prompt in prompts.prompts]

    def ours() -> int:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".jsonl") as file:
            plan = AnswerPlan(1, reply_file=Path(file.name))
            replies = ask_for_answers(EndpointPredictor(endpoint), prompts, SAMPLING, plan, repeats=1)
        return sum(reply.text == TEXT for (reply,) in replies)

    async def bare() -> int:
        todo, texts = iter(bodies), list[str]()

        async def work(client: AsyncClient) -> None:
            for body in todo:
                response = await client.post(f"{url}/chat/completions", json=body)
                texts.append(response.json()["choices"][0]["message"]["content"])

        async with AsyncClient(timeout=120) as client:
            await asyncio.gather(*(work(client) for _ in range(users)))
        return texts.count(TEXT)

    return {BARE: lambda: asyncio.run(bare()), OURS: ours}


def make_streamed_ways(url: str, users: int, count: int, folder: Path) -> dict[str, Way]:  # noqa: ARG001
    """Both ways for streamed answers: the client of loads, and a bare loop that times each line."""
    from httpx2 import AsyncClient

    endpoint = EndpointTable(url=url, model="m", concurrency=users)
    messages = [[{"role": "user", "content": PROMPT.format(row)}] for row in range(count)]
    requests = [Request(messages_of_request, OPTIONS) for messages_of_request in messages]
    bodies = [
        {"model": "m", "stream": True, "messages": messages_of_request, **OPTIONS}
        for messages_of_request in messages
    ]

    async def ours() -> int:
        async with open_client(endpoint, connections=users) as client:
            replies = await send_closed_loop(client, endpoint, requests, users=users)
        return sum(reply.failed is None and reply.tokens == PIECES for reply in replies)

    async def bare() -> int:
        todo, complete = iter(bodies), list[bool]()

        async def work(client: AsyncClient) -> None:
            for body in todo:
                times = []
                async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
                    async for text in response.aiter_lines():
                        if text:
                            times.append(time.perf_counter())
                complete.append(len(times) == PIECES + 1)  # and [DONE]

        async with AsyncClient(timeout=120) as client:
            await asyncio.gather(*(work(client) for _ in range(users)))
        return sum(complete)

    return {BARE: lambda: asyncio.run(bare()), OURS: lambda: asyncio.run(ours())}


@contextmanager
def serving(seconds: float) -> Iterator[str]:
    """Runs a server in a separate process during the block, and yields its URL."""
    command = [sys.executable, "-m", "tools.measuring.fixed_time_server", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
