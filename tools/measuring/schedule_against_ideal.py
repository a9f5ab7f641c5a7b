"""How long 50 variants take on Ray, against the shortest time that any schedule could take.

    python -m tools.measuring.schedule_against_ideal [WORKERS] [SCALE]

Variants of a tiny suite whose steps sleep known times, chains among them. No schedule ends before its longest
chain has, nor before all work is done by all workers without a pause: the later of the two is the ideal.
First the order alone, on simulated workers; then Ray on this machine, twice: times unknown, times known.
WORKERS share its cores (they sleep), so 4 are 4 on 2 cores; SCALE stretches the sleeps.
"""

from __future__ import annotations

import heapq
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate._system.timestamps import format_now
from slimgate.results.checks import TEACHER
from slimgate.run.cluster.driver import RayRequest, RayResult, build_on_ray
from slimgate.run.cluster.needs import RequestedNeeds
from slimgate.run.cluster.schedule import Schedule, find_longest_ways
from slimgate.run.cluster.tasks import Goal, Task, TaskId, list_tasks
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.load import load_suite
from slimgate.suite.suite import Suite

CHAINS, LENGTH, SINGLES = 5, 4, 30
HEAD = """\
[suite]
title = "steps that sleep"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
label = "label"
max_tokens = 16
splits = { train = 40, calibration = 0, selection = 0, gate = 40 }

[teacher]
model = "model"

[variants]
"""
PAUSES = """
import time


def pause(model, context, *, seconds: float):
    time.sleep(seconds)
"""


def draw_variants(scale: float, *, seed: int = 0) -> dict[str, tuple[str | None, float]]:
    """(what it starts from, seconds) of each; chains come last, where they hurt an order by name."""
    draw = random.Random(seed)
    seconds_by_task: dict[str, tuple[str | None, float]] = {}
    for number in range(SINGLES):
        seconds_by_task[f"single-{number}"] = (None, scale * round(draw.uniform(1, 8), 1))
    for chain in range(CHAINS):
        for place in range(LENGTH):
            before = f"chain-{chain}-{place - 1}" if place else None
            seconds_by_task[f"chain-{chain}-{place}"] = (before, scale * round(draw.uniform(2, 8), 1))
    return seconds_by_task


def write_suite(folder: Path, sleeps: Mapping[str, tuple[str | None, float]]) -> Suite:
    """The suite of those variants, in a folder of its own."""
    write_tiny_bert(folder / "model", initializer_range=0.2)
    write_rows(folder / "rows.csv", 200)
    (folder / "pauses.py").write_text(PAUSES)
    steps = {name: f'[{{ "pauses:pause" = {{ seconds = {slept} }} }}]' for name, (_, slept) in sleeps.items()}
    lines = [
        f'{name} = {{ from = "{before or TEACHER}", steps = {steps[name]} }}'
        for name, (before, _) in sleeps.items()
    ]
    budgets = "\n[measure]\nmetrics = ['accuracy']\n"
    (folder / "sleeping.toml").write_text(HEAD + "\n".join(lines) + "\n" + budgets)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return load_suite(folder / "sleeping.toml", "sleeping.toml")


def read_goals(suite: Suite) -> dict[str, Goal]:
    """Every model, with its answers."""
    return {name: Goal(answers=True) for name in (TEACHER, *suite.variants)}


def compute_ideal_seconds(
    tasks: Mapping[TaskId, Task], seconds: Mapping[TaskId, float], workers: int
) -> float:
    """No schedule takes less: the longest chain, or all work on all workers."""
    return max(
        max(find_longest_ways(tasks, seconds).values()), sum(seconds[task] for task in tasks) / workers
    )


def simulate(
    tasks: Mapping[TaskId, Task],
    seconds: Mapping[TaskId, float],
    workers: int,
    expected: Mapping[TaskId, float],
) -> float:
    """When the last task ends, by our order and the expected times, on workers that cost nothing."""
    schedule = Schedule(tasks, expected)
    ends: list[tuple[float, TaskId]] = []
    now = 0.0
    while not schedule.over:
        for task in schedule.list_ready_tasks()[: workers - len(ends)]:
            schedule.start(task)
            heapq.heappush(ends, (now + seconds[task.id], task.id))
        now, ended = heapq.heappop(ends)
        schedule.finish(ended)
    return now


def rebuild_on_ray(suite: Suite, folder: Path, workers: int, cores: int) -> RayResult:
    """All of it built anew on Ray, on so many workers."""
    store = Store(folder / "store", rebuild=(now := format_now("microseconds")))
    done = build_on_ray(
        RayRequest(
            runs={suite.path: SuiteRun(suite, store, device="cpu")},
            goals={suite.path: read_goals(suite)},
            needs=RequestedNeeds(((None, {"cpus": cores / workers}),)),
            root=folder,
            rebuild_mark=now,
        )
    )
    assert done is not None
    return done


def main(workers: int = 4, scale: float = 1.0) -> int:
    """Prints the ideal, and what came of it."""
    import psutil

    folder = Path(tempfile.mkdtemp(prefix="sleeping-"))
    sleeps = draw_variants(scale)
    suite = write_suite(folder, sleeps)
    tasks = list_tasks(suite, read_goals(suite))
    seconds = {task: sleeps.get(task.name, (None, 0.0))[1] for task in tasks}
    best, say = compute_ideal_seconds(tasks, seconds, workers), sys.stdout.write
    say(f"{len(sleeps)} variants, {sum(seconds.values()):.1f} s of sleep, {workers} workers\n")
    say(f"ideal {best:.1f} s (longest chain {max(find_longest_ways(tasks, seconds).values()):.1f} s)\n")
    for label, expected in (("unknown", dict.fromkeys(seconds, 1.0)), ("known", seconds)):
        took = simulate(tasks, seconds, workers, expected)
        say(f"order alone, times {label}: {took:.1f} s, {took / best:.3f} of the ideal\n")
    cores = psutil.cpu_count() or 1
    for label in ("unknown", "known"):
        done = rebuild_on_ray(suite, folder, workers, cores)
        within = compute_ideal_seconds(tasks, done.tasks, workers)
        say(
            f"Ray, times {label}: {done.seconds:.1f} s, {done.seconds / best:.3f} of the ideal; "
            f"tasks took {sum(done.tasks.values()):.1f} s with loading and predicting, of which the ideal is "
            f"{within:.1f} s: {done.seconds / within:.3f}\n"
        )
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False))))
