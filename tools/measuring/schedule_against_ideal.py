"""Measures how long 50 variants take on Ray, compared with the shortest time of any schedule.

    python -m tools.measuring.schedule_against_ideal [WORKERS] [SCALE]

The steps of the variants sleep for known times. Some variants form chains. No schedule ends before its
longest chain ends, or before all workers together have done all work without a pause. The later of the two is
the ideal time. The program first tests the order of the tasks on simulated workers. Then it runs Ray on this
machine twice, with unknown and with known times. Steps only sleep, so 4 WORKERS need no 4 cores. SCALE
multiplies the sleeps.
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
from slimgate.run.cluster.schedule import Schedule, compute_chain_seconds
from slimgate.run.cluster.tasks import Goal, ModelTask, RequestedNeeds, TaskId, list_tasks
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
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
    """Name -> (parent, seconds). Chains come last, where an order by name is worst."""
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
    """Writes the suite of these variants into a folder."""
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
    """The goals of a run that needs the answers of every model."""
    return {name: Goal(answers=True) for name in (TEACHER, *suite.variants)}


def compute_ideal_seconds(
    tasks: Mapping[TaskId, ModelTask], seconds: Mapping[TaskId, float], workers: int
) -> float:
    """The shortest time of any schedule: the longest chain, or all work divided by the workers."""
    return max(
        max(compute_chain_seconds(tasks, seconds).values()), sum(seconds[task] for task in tasks) / workers
    )


def simulate(
    tasks: Mapping[TaskId, ModelTask],
    seconds: Mapping[TaskId, float],
    workers: int,
    expected: Mapping[TaskId, float],
) -> float:
    """The end of the last task on simulated workers, in slimgate's order by the expected times."""
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
    """Builds everything again on Ray, on this number of workers."""
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
    """Prints the ideal time and the measured times."""
    import psutil

    folder = Path(tempfile.mkdtemp(prefix="sleeping-"))
    sleeps = draw_variants(scale)
    suite = write_suite(folder, sleeps)
    tasks = list_tasks(suite, read_goals(suite))
    seconds = {task: sleeps.get(task.name, (None, 0.0))[1] for task in tasks}
    ideal, say = compute_ideal_seconds(tasks, seconds, workers), sys.stdout.write
    say(f"{len(sleeps)} variants, {sum(seconds.values()):.1f} s of sleep, {workers} workers\n")
    say(f"ideal {ideal:.1f} s (longest chain {max(compute_chain_seconds(tasks, seconds).values()):.1f} s)\n")
    for label, expected in (("unknown", dict.fromkeys(seconds, 1.0)), ("known", seconds)):
        took = simulate(tasks, seconds, workers, expected)
        say(f"order alone, times {label}: {took:.1f} s, {took / ideal:.3f} of the ideal\n")
    cores = psutil.cpu_count() or 1
    for label in ("unknown", "known"):
        done = rebuild_on_ray(suite, folder, workers, cores)
        ideal_of_tasks = compute_ideal_seconds(tasks, done.tasks, workers)
        say(
            f"Ray, times {label}: {done.seconds:.1f} s, {done.seconds / ideal:.3f} of the ideal; "
            f"tasks took {sum(done.tasks.values()):.1f} s with loading and predicting, of which the ideal is "
            f"{ideal_of_tasks:.1f} s: {done.seconds / ideal_of_tasks:.3f}\n"
        )
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False))))
