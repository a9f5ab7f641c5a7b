"""Draws sequences, runs them, and shrinks those that break the property."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.attack.processes import Processes
from tools.attack.world import Shared, Step, World, WrongPass
from tools.attack.worlds import WORLDS

LENGTHS = range(5, 11)
_PATH = re.compile(r"[\w./-]*\w\.[a-z]\w+\b")


@dataclass(frozen=True)
class Bug:
    """A sequence that breaks the property, after shrinking. lines: its actions in words."""

    seed: int
    world: str
    steps: tuple[Step, ...]
    lines: tuple[str, ...]
    wrong: WrongPass

    @property
    def signature(self) -> tuple[str, ...]:
        """Equal for equal bugs: the world, the rule, and the actions before the last with their files."""
        pairs = zip(self.steps[:-1], self.lines, strict=False)
        return (
            self.world,
            self.wrong.rule,
            *(f"{step.action} {_find_last_file(line)}".strip() for step, line in pairs),
        )

    def __str__(self) -> str:
        actions = [f"  {number}. {line}" for number, line in enumerate(self.lines, 1)]
        outputs = [text for output in self.wrong.outputs for text in _select_last_lines(output)]
        head = f"seed {self.seed}, {self.world}: {self.wrong.rule}: {self.wrong.claim}"
        return "\n".join([head, *actions, *(f"    | {text}" for text in outputs)])


def _find_last_file(line: str) -> str:
    """The last file that a line names, without its folder; "" if it names none."""
    return Path(paths[-1]).name if (paths := _PATH.findall(line)) else ""


def _select_last_lines(output: str, count: int = 12) -> list[str]:
    lines = output.splitlines()
    return lines if len(lines) <= count else [lines[0], "…", *lines[1 - count :]]


@dataclass
class Report:
    """The result of a search. again: how often another sequence found the same bug. ends: last verdicts."""

    bugs: dict[tuple[str, ...], Bug] = field(default_factory=dict)
    again: Counter[tuple[str, ...]] = field(default_factory=Counter)
    worlds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    actions: int = 0
    commands: int = 0
    seconds: float = 0.0

    @property
    def sequences(self) -> int:
        """How many sequences ran, without those of shrinking."""
        return self.worlds.total()

    def __str__(self) -> str:
        worlds = ", ".join(f"{name} {count}" for name, count in sorted(self.worlds.items()))
        ends = ", ".join(f"{end} {count}" for end, count in sorted(self.ends.items()))
        lines = [
            f"{self.sequences} sequences ({worlds})",
            f"{self.actions} actions, {self.commands} commands, {self.seconds:.0f} s",
            f"last verdict: {ends}",
            f"{len(self.bugs)} bugs" if self.bugs else "no PASS was denied",
        ]
        for signature, bug in self.bugs.items():
            times = f" ({self.again[signature]} more sequences)" if self.again[signature] else ""
            lines += ["", f"{bug}{times}"]
        return "\n".join(lines)


def draw_sequence(seed: int, worlds: Sequence[type[World]] = WORLDS) -> tuple[type[World], list[Step]]:
    """The world and the actions of a seed."""
    draw = random.Random(seed)
    world = draw.choices(worlds, [world.share for world in worlds])[0]
    names, weights = zip(*world.list_actions().items(), strict=True)
    drawn = draw.choices(names, weights, k=draw.choice(LENGTHS))
    return world, [Step(name, draw.randrange(10**9)) for name in [*drawn, *world.closing]]


@dataclass(frozen=True)
class Ran:
    """A sequence that has run. lines: its actions in words. wrong: the PASS that was denied, or None."""

    steps: tuple[Step, ...]
    lines: tuple[str, ...]
    verdict: str
    wrong: WrongPass | None


def run_sequence(world: type[World], steps: Sequence[Step], shared: Shared) -> Ran:
    """Runs actions in a new project, until the oracle denies a PASS."""
    done: list[Step] = []
    lines: list[str] = []
    project = world.start(shared)
    for step in steps:
        try:
            line = project.apply(step)
        except WrongPass as wrong:
            lines.append(f"{step.action.replace('_', ' ')}: {wrong.claim}")
            return Ran((*done, step), tuple(lines), "denied", wrong)
        if line is not None:
            done.append(step)
            lines.append(line)
    return Ran(tuple(done), tuple(lines), project.verdict, None)


def shrink(world: type[World], ran: Ran, shared: Shared) -> Ran:
    """Removes the actions that are not needed to break the same rule.

    It first tries each action with only the last one, which is often enough, then leaves out one at a time.
    """
    assert ran.wrong is not None
    last = len(ran.steps) - 1
    for at in reversed(range(last)):
        pair = run_sequence(world, [ran.steps[at], ran.steps[last]], shared)
        if _is_same_break(pair, ran):
            return pair
    at = last - 1
    while at >= 0:
        shorter = run_sequence(world, [*ran.steps[:at], *ran.steps[at + 1 :]], shared)
        if _is_same_break(shorter, ran):
            ran = shorter
        at = min(at, len(ran.steps) - 1) - 1
    return ran


def _is_same_break(ran: Ran, other: Ran) -> bool:
    return ran.wrong is not None and other.wrong is not None and ran.wrong.rule == other.wrong.rule


def run_sequences(
    seeds: Sequence[int],
    *,
    worlds: Sequence[type[World]] = WORLDS,
    say: Callable[[str], None] = lambda _: None,
    stop_after: float | None = None,
) -> Report:
    """Runs one sequence for each seed. say: prints a sequence. stop_after: seconds; None runs all."""
    report, began = Report(), time.monotonic()
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="attack-") as scratch:
        shared = Shared(processes, Path(scratch))
        for seed in seeds:
            if stop_after is not None and time.monotonic() - began > stop_after:
                break
            world, steps = draw_sequence(seed, worlds)
            start = time.monotonic()
            ran = run_sequence(world, steps, shared)
            report.worlds[world.name] += 1
            report.actions += len(ran.steps)
            report.ends[ran.verdict] += 1
            if ran.wrong is not None:
                _add_bug(report, seed, world, ran, shared)
            say(f"seed {seed}: {world.name}, {len(ran.steps)} actions, {ran.verdict}, "
                f"{time.monotonic() - start:.1f} s\n    " + "\n    ".join(ran.lines))  # fmt: skip
        report.commands = processes.commands
    report.seconds = time.monotonic() - began
    return report


def _add_bug(report: Report, seed: int, world: type[World], ran: Ran, shared: Shared) -> None:
    """Adds a bug to the report. If a part of the sequence is a known bug, it only counts that bug."""
    assert ran.wrong is not None
    for signature, bug in report.bugs.items():
        names = [step.action for step in bug.steps[:-1]]
        part = _find_steps(ran.steps[:-1], names)
        if signature[:2] == (world.name, ran.wrong.rule) and part is not None:
            again = run_sequence(world, [*part, ran.steps[-1]], shared)
            if _is_same_break(again, ran) and _make_bug(seed, world, again).signature == signature:
                report.again[signature] += 1
                return
    bug = _make_bug(seed, world, shrink(world, ran, shared))
    if bug.signature in report.bugs:
        report.again[bug.signature] += 1
    else:
        report.bugs[bug.signature] = bug


def _make_bug(seed: int, world: type[World], ran: Ran) -> Bug:
    assert ran.wrong is not None
    return Bug(seed, world.name, ran.steps, ran.lines, ran.wrong)


def _find_steps(steps: Sequence[Step], names: Sequence[str]) -> list[Step] | None:
    """The last steps with these names in this order; None if the sequence does not have them."""
    part: list[Step] = []
    remaining = list(names)
    for step in reversed(steps):
        if remaining and step.action == remaining[-1]:
            part.insert(0, step)
            remaining.pop()
    return None if remaining else part
