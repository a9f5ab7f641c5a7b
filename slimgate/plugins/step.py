"""The base class of steps: what makes a smaller or faster model of a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimgate.plugins.base import Json, P, WithParams
from slimgate.plugins.context import BuildContext

# What a step may promise of its result; slimgate/run/claims.py holds the result against it.
CLAIMS = ("smaller", "fewer_parameters", "sparser", "faster")


class Step(WithParams[P]):
    """One compression step.

    takes: kinds of artifact it can start from; gives: the kind it leaves, or None for the same.
    reads: the splits it uses; uses_teacher: whether it needs the suite's teacher; stochastic: whether
    another seed gives another model; packages: whose versions its result depends on. All of them are part of
    the store's key. requires: versions above slimgate's floors, such as "transformers>=5.18". claims: what it
    promises of the model that it leaves (slimgate/run/claims.py). changes: the parts of a transformer that
    it changes as a whole: a model whose family does not allow that is refused (slimgate/models/families.py).
    code_modules: further modules whose code belongs to the key.
    restore(network, spec): makes the change that it noted to an empty network, before the weights are read;
    None: what `replace_modules_` noted.
    """

    takes: frozenset[str] = frozenset({"torch"})
    gives: str | None = None
    reads: tuple[str, ...] = ()
    uses_teacher: bool = False
    stochastic: bool = False
    packages: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    code_modules: tuple[str, ...] = ()
    restore: Callable[[Any, Json], None] | None = None

    def weight_format(self, params: P) -> str:
        """The format of the weights if it leaves a model of the kind "served": a quant_method, or `gguf`."""
        return "unknown"

    @abstractmethod
    def apply(self, model: Any, params: P, context: BuildContext) -> Any:
        """The model after the step (it may be the same object, changed); what it did goes in context.log."""

    def resolve(self, params: P) -> Step[Any]:
        """The step that these options make, where what it reads and gives depends on them."""
        return self

    def check(self, params: P, config: Json) -> Json:
        """What the step makes of a config.json, before any model is loaded. Raises SuiteError."""
        return config

    def check_folder(self, params: P, folder: Path) -> None:
        """Checks the folder that the model starts from, before anything is loaded. Raises SuiteError."""

    def learns_from(self, params: P) -> str:
        """The model it learns from: "teacher", "self" for the model before the step, or a variant."""
        return "teacher"

    def also_learns_from(self, params: P) -> tuple[str, ...]:
        """Further ones, by the same names, which context.of_more_teachers() gives."""
        return ()

    def also_reads(self, params: P) -> tuple[str, ...]:
        """The splits that these options have it read beside `reads`, such as unlabelled."""
        return ()

    def does_without(self, params: P) -> tuple[str, ...]:
        """Those of `reads` that may be empty with these options.

        A suite without calibration rows is refused before any model loads, where a step needs them.
        """
        return ()

    def row_files(self, params: P) -> tuple[Path, ...]:
        """Files of rows that it reads beside the splits; their contents belong to the key."""
        return ()

    def adds_rows(self, params: P) -> bool:
        """Whether it trains on other rows than those of the splits.

        Then it must ask context.stands_later, and the later splits belong to the key.
        """
        return False

    def functions(self, params: P) -> tuple[str, ...]:
        """A user's own functions that it calls, by dotted path; their code belongs to the key."""
        return ()

    def environment(self, params: P) -> Json:
        """What outside of slimgate the result depends on, such as the digest of a script: part of the key."""
        return {}

    def by_processor(self, params: P) -> bool:
        """Whether what it makes depends on the processor: machine code, or a choice by int8 answers."""
        return False
