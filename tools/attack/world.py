"""The base class of the worlds: a project, commands, actions, and the error for a denied PASS."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from tools.attack.processes import Done, Processes
from tools.attack.project import Project

_WEIGHT = "attack_weight"


class WrongPass(Exception):
    """A PASS that the oracle denies. outputs: of slimgate and of the oracle."""

    def __init__(self, rule: str, claim: str, outputs: Sequence[str]) -> None:
        super().__init__(claim)
        self.rule, self.claim, self.outputs = rule, claim, list(outputs)


class Step(NamedTuple):
    """An action of a sequence. number: the seed of its choices, which stay the same in a shorter sequence."""

    action: str
    number: int


def action(weight: int = 1) -> Callable[[Callable[..., str | None]], Callable[..., str | None]]:
    """Makes a method of a world an action.

        @action(2)
        def delete_store(self, draw): ...

    weight: how often it is drawn, relative to the others. The method gets a random.Random for its choices and
    returns one line that says what it did, or None if there is nothing to do.
    """

    def mark(method: Callable[..., str | None]) -> Callable[..., str | None]:
        setattr(method, _WEIGHT, weight)
        return method

    return mark


@dataclass
class Shared:
    """What the sequences of a search share. templates: by world. truths: by world and state."""

    processes: Processes
    scratch: Path
    templates: dict[str, Path] = field(default_factory=dict)
    truths: dict[tuple[str, str], Any] = field(default_factory=dict)


class World:
    """A project of one kind, with its actions. Each sequence has a new one."""

    name: ClassVar[str]
    # How often this world is drawn, relative to the others.
    share: ClassVar[int] = 1
    # Actions that every sequence ends with.
    closing: ClassVar[Sequence[str]] = ()

    def __init__(self, shared: Shared, folder: Path) -> None:
        self.shared, self.project = shared, Project(folder)
        self.printed: list[str] = []
        self.verdict = "none"  # of the last command that gave one

    @classmethod
    def start(cls, shared: Shared) -> Self:
        """A world in a new folder, a copy of a template that is written once for all sequences.

        All projects of a search have the same path, because keys of the store may depend on it.
        """
        folder = shared.scratch / "project"
        shutil.rmtree(folder, ignore_errors=True)
        if cls.name not in shared.templates:
            folder.mkdir(parents=True)
            world = cls(shared, folder)
            world.write_project()
            world.warm_up()
            shared.templates[cls.name] = shared.scratch / f"template-{cls.name}"
            folder.rename(shared.templates[cls.name])
        shutil.copytree(shared.templates[cls.name], folder, symlinks=True)
        world = cls(shared, folder)
        world.begin()
        return world

    def write_project(self) -> None:
        """Writes the files that every sequence begins with."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Runs commands in the template, so that every sequence begins with their results."""

    def begin(self) -> None:
        """Notes the state of the template."""

    @classmethod
    def list_actions(cls) -> Mapping[str, int]:
        """Name of an action -> its weight."""
        names = sorted(name for name in dir(cls) if hasattr(getattr(cls, name), _WEIGHT))
        return {name: getattr(getattr(cls, name), _WEIGHT) for name in names}

    def apply(self, step: Step) -> str | None:
        """Runs an action, and returns its line. Raises WrongPass."""
        self.project.tick()
        line: str | None = getattr(self, step.action)(random.Random(step.number))
        return line

    def run_module(self, module: str, *arguments: str, folder: Path | None = None, **variables: str) -> Done:
        """Runs a module in the project's folder, or in another."""
        done = self.shared.processes.run(module, arguments, folder or self.project.folder, variables)
        if folder is None:
            self.printed.append(str(done))
        return done

    def run_slimgate(self, *arguments: str) -> Done:
        """Runs a command of slimgate."""
        return self.run_module("slimgate.cli.main", *arguments)

    def deny(self, rule: str, claim: str, *outputs: object) -> None:
        """Raises WrongPass: the claim is not true."""
        raise WrongPass(rule, claim, [*self.printed[-1:], *map(str, outputs)])
