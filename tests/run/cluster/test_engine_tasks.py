"""The models of a suite as tasks, and the order in which they are started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.run.cluster.schedule import Schedule, choose_startable, compute_chain_seconds
from slimgate.run.cluster.tasks import Goal, ModelTask, Needs, TaskId, list_tasks
from slimgate.suite.suite import Suite
from tools.measuring import schedule_against_ideal as against

VARIANTS = """
shorter = { steps = [{ keep_layers = [0, 2] }] }
"""
CHAIN = """
shorter = { steps = [{ keep_layers = [0, 2] }, { fine_tune = { epochs = 1 } }] }
int8 = { from = "shorter", steps = [{ int8_dynamic = {} }] }
helped = { steps = [{ keep_layers = [0, 2] }, { distill = { epochs = 1, teacher = "shorter" } }] }
alone = { model = "hub", new_head = true }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    replaced = {VARIANTS.strip(): CHAIN.strip(), "threads = 1": "threads = 1\nseeds = [0, 1]"}
    return make_tiny_run(tmp_path, **replaced).suite


def list_predecessors(tasks: dict[TaskId, ModelTask]) -> dict[tuple[str, int], set[tuple[str, int]]]:
    """The name and seed of each task, with those that it comes after."""
    return {
        (task.name, task.id.seed): {(other.name, other.seed) for other in task.after}
        for task in tasks.values()
    }


def test_a_variant_comes_after_what_it_starts_and_learns_from(suite: Suite) -> None:
    tasks = list_tasks(suite, {"int8": Goal(), "helped": Goal(), "alone": Goal()})
    assert list_predecessors(tasks) == {
        ("teacher", 0): set(),
        ("shorter", 0): {("teacher", 0)},
        ("int8", 0): {("shorter", 0)},
        ("helped", 0): {("teacher", 0), ("shorter", 0)},
        ("alone", 0): set(),
    }


def test_without_a_shared_store_a_variant_waits_for_its_builder(
    suite: Suite,
) -> None:
    tasks = list_predecessors(
        list_tasks(suite, {"pruned": Goal(), "shorter": Goal(), "helped": Goal()}, shared=False)
    )
    assert tasks["helped", 0] == {("teacher", 0), ("shorter", 0)}
    assert tasks["pruned", 0] == {("teacher", 0)}


def test_other_seeds_build_only_what_draws(suite: Suite) -> None:
    goals = {"int8": Goal(answers=True, rebuilds=True), "pruned": Goal(answers=True, rebuilds=True)}
    tasks = list_tasks(suite, goals)
    assert list_predecessors(tasks) == {
        ("teacher", 0): set(),
        ("shorter", 0): {("teacher", 0)},
        ("int8", 0): {("shorter", 0)},
        ("shorter", 1): {("teacher", 0)},
        ("int8", 1): {("shorter", 1)},
        ("pruned", 0): {("teacher", 0)},
    }
    assert {(task.name, task.id.seed) for task in tasks.values() if task.answers} == {
        ("int8", 0),
        ("int8", 1),
        ("pruned", 0),
    }


def test_stages_answer_where_many_steps_lead_to_a_variant(suite: Suite) -> None:
    tasks = list_tasks(suite, {"int8": Goal(answers=True), "pruned": Goal(answers=True)})
    assert {task.name for task in tasks.values() if task.stages} == {"teacher", "shorter", "int8"}
    assert not any(task.stages for task in list_tasks(suite, {"pruned": Goal(answers=True)}).values())


def graph(**after: str) -> dict[TaskId, ModelTask]:
    """Tasks by name, each after those that its words name."""
    ids = {name: TaskId(Path("suite.toml"), name, 0) for name in after}
    return {
        ids[name]: ModelTask(ids[name], tuple(ids[word] for word in words.split()))
        for name, words in after.items()
    }


def names(tasks: list[ModelTask]) -> list[str]:
    return [task.name for task in tasks]


def test_the_longest_chain_starts_first() -> None:
    tasks = graph(quick="", slow="", first="", second="first", third="second")
    seconds = dict(zip(tasks, (1.0, 3.0, 1.5, 1.5, 1.5), strict=True))
    chains = {task.name: chain for task, chain in compute_chain_seconds(tasks, seconds).items()}
    assert [chains[name] for name in sorted(chains)] == [
        4.5,
        1.0,
        3.0,
        3.0,
        1.5,
    ]
    assert names(Schedule(tasks, seconds).list_ready_tasks()) == ["first", "slow", "quick"]


def test_what_comes_from_a_model_that_failed_is_never_started() -> None:
    tasks = graph(a="", b="a", c="b", d="")
    schedule = Schedule(tasks, dict.fromkeys(tasks, 1.0))
    for task in schedule.list_ready_tasks():
        schedule.start(task)
    schedule.fail(next(iter(tasks)))
    assert {task_id.name for task_id in schedule.failed} == {"a", "b", "c"}
    assert schedule.list_ready_tasks() == []
    assert schedule.count_left == 1


def test_a_built_model_without_answers_keeps_nobody_waiting() -> None:
    tasks = graph(a="", b="a")
    schedule = Schedule(tasks, dict.fromkeys(tasks, 1.0))
    schedule.start(schedule.list_ready_tasks()[0])
    schedule.fail(next(iter(tasks)), built=True)
    assert names(schedule.list_ready_tasks()) == ["b"]
    assert not schedule.failed
    assert {task_id.name for task_id in schedule.unanswered} == {"a"}


def test_a_task_without_room_keeps_no_smaller_one_waiting() -> None:
    tasks = list(graph(big="", bigger="", small="", smaller="").values())
    needs = {"big": Needs(4), "bigger": Needs(4), "small": Needs(1), "smaller": Needs(1)}

    def of(task: ModelTask) -> Needs:
        return needs[task.name]

    assert names(list(choose_startable(tasks, [], {"CPU": 2.0}, of))) == ["big", "small", "smaller"]
    assert names(list(choose_startable(tasks, [Needs(4)], {"CPU": 2.0}, of))) == ["small", "smaller"]
    assert names(list(choose_startable(tasks, [Needs(1), Needs(1)], {"CPU": 2.0}, of))) == ["big"]


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_the_order_of_fifty_variants_is_close_to_the_ideal(workers: int, tmp_path: Path) -> None:
    sleeps = against.draw_variants(1.0)
    suite = against.write_suite(tmp_path, sleeps)
    tasks = list_tasks(suite, against.read_goals(suite))
    seconds = {task: sleeps.get(task.name, (None, 0.0))[1] for task in tasks}
    best = against.compute_ideal_seconds(tasks, seconds, workers)
    assert len(sleeps) == 50
    assert best <= against.simulate(tasks, seconds, workers, seconds) <= 1.05 * best
    assert against.simulate(tasks, seconds, workers, dict.fromkeys(seconds, 1.0)) <= 1.2 * best
