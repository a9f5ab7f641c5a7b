"""Which task is started next: of those that wait for nothing, the one with the longest way after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from slimgate.run.cluster.needs import Needs
from slimgate.run.cluster.tasks import Task, TaskId

# Tasks that are given away though there is no room for them: the next one is there when a worker is free,
# and a cluster that grows by itself sees that more is wanted.
AHEAD = 1


class Schedule:
    """Tasks that wait, are under way, or are over. It knows no machine and no clock.

    failed: not built; unanswered: those, and what is built and has no answers.
    """

    def __init__(self, tasks: Mapping[TaskId, Task], seconds: Mapping[TaskId, float]) -> None:
        """tasks: each after those that it waits for; what it waits for and is not among them is there.

        seconds: what each is expected to take.
        """
        self._waiting = dict(tasks)
        self._under_way: dict[TaskId, Task] = {}
        self._ways = ways(tasks, seconds)
        self.failed: set[TaskId] = set()
        self.unanswered: set[TaskId] = set()

    @property
    def over(self) -> bool:
        return not self._waiting and not self._under_way

    @property
    def count_left(self) -> int:
        """How many wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    @property
    def under_way(self) -> Collection[TaskId]:
        return self._under_way.keys()

    def ready_tasks(self) -> list[Task]:
        """The tasks that wait for no other, the longest way first; equal ones as the suite has them."""
        open_ones = self._waiting.keys() | self._under_way.keys()
        free = [task for task in self._waiting.values() if open_ones.isdisjoint(task.after)]
        return sorted(free, key=lambda task: -self._ways[task.id])

    def start(self, task: Task) -> None:
        """The task is under way."""
        self._under_way[task.id] = self._waiting.pop(task.id)

    def finish(self, task: TaskId) -> None:
        """What waited for it may start."""
        del self._under_way[task]

    def fail(self, task: TaskId, *, built: bool = False) -> None:
        """It is over; unless it was built, what comes from it is never started."""
        del self._under_way[task]
        self.unanswered.add(task)
        if built:
            return
        self.failed.add(task)
        for waiting in list(self._waiting.values()):  # in the order of what they come after
            if not self.failed.isdisjoint(waiting.after):
                self.failed.add(waiting.id)
                self.unanswered.add(waiting.id)
                del self._waiting[waiting.id]


def ways(tasks: Mapping[TaskId, Task], seconds: Mapping[TaskId, float]) -> dict[TaskId, float]:
    """From the start of each task to the end of the longest chain that it begins."""
    found = dict.fromkeys(tasks, 0.0)
    for task in reversed(list(tasks.values())):
        found[task.id] += seconds[task.id]
        for before in task.after:
            if before in found:
                found[before] = max(found[before], found[task.id])
    return found


def startable(
    ready: Iterable[Task],
    taken: Iterable[Needs],
    total: Mapping[str, float],
    needs_of: Callable[[Task], Needs],
) -> Iterator[Task]:
    """Those for which a cluster of so much has room beside what is taken, and AHEAD more.

    A task that finds no room does not keep smaller ones waiting.
    """
    placed: list[Needs] = []
    ahead = 0
    for one in taken:
        if _has_room(total, placed, one):
            placed.append(one)
        else:
            ahead += 1
    for task in ready:
        needs = needs_of(task)
        if _has_room(total, placed, needs):
            placed.append(needs)
        elif ahead < AHEAD:
            ahead += 1
        else:
            continue
        yield task


def _has_room(total: Mapping[str, float], placed: Collection[Needs], more: Needs) -> bool:
    return all(
        sum(one.resources.get(name, 0.0) for one in placed) + amount <= total.get(name, 0.0)
        for name, amount in more.resources.items()
    )
