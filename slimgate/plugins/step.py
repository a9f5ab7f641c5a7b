"""The base class of steps, which make a model smaller or faster."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.plugins.base import Json, P, WithParams
from slimgate.plugins.context import BuildContext

if TYPE_CHECKING:
    from torch import nn

# What a step may promise about its result; slimgate/run/claims.py checks it.
CLAIMS = ("smaller", "fewer_parameters", "sparser", "faster")


class Step(WithParams[P]):
    """A compression step.

    takes: the kinds of artifact that it can start from.
    gives: the kind of artifact that it makes; None: the same kind.
    claims: what it promises about its result. Every run checks it (slimgate/run/claims.py).
    changes: the parts of a transformer that it changes as a whole. Models of families that do not allow this
        are refused (slimgate/models/families.py).
    requires: minimum versions of packages above those of slimgate, such as "transformers>=5.18".
    restore(network, spec): repeats the noted change on an empty network, before the weights are loaded; None:
        the change that `replace_modules_` noted.

    The key in the store depends on these:

    reads: the splits that it reads.
    uses_teacher: whether it needs the suite's teacher.
    stochastic: whether another seed gives another model.
    packages: its result depends on the versions of these packages.
    code_modules: further modules with code of the step.
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
    restore: Callable[[nn.Module, Json], None] | None = None

    def weight_format(self, params: P) -> str:
        """The format of the weights if it leaves a model of the kind "served": a quant_method, or `gguf`."""
        return "unknown"

    @abstractmethod
    def apply(self, model: Any, params: P, context: BuildContext) -> Any:
        """Takes the step. It may change `model` in place, and reports into context.log.

        Args:
            model: of a kind in `takes`: a TorchModel (torch, torch_quantized), or the class of that kind in
                slimgate/models, such as OnnxModel (onnx) or Served (served).
            params: the options of the step.
            context: gives rows, seed, device and the log.

        Returns:
            The model after the step.
        """

    def resolve(self, params: P) -> Step[Any]:
        """The step for these options. Override it if what the step reads or gives depends on them."""
        return self

    def check(self, params: P, config: Json) -> Json:
        """Checks the model before any is loaded.

        Args:
            params: the options of the step.
            config: the config.json before the step.

        Returns:
            The config.json after the step.

        Raises:
            SuiteError: if the step cannot be taken.
        """
        return config

    def check_folder(self, params: P, folder: Path) -> None:
        """Checks the folder that the model starts from, before anything is loaded.

        Args:
            params: the options of the step.
            folder: with the files of the model.

        Raises:
            SuiteError: if the step cannot be taken.
        """

    def learns_from(self, params: P) -> str:
        """The model that it learns from: "teacher", "self" for the model before the step, or a variant."""
        return "teacher"

    def also_learns_from(self, params: P) -> tuple[str, ...]:
        """Further models that it learns from, by the same names. See context.of_more_teachers()."""
        return ()

    def also_reads(self, params: P) -> tuple[str, ...]:
        """The splits that it also reads with these options, such as unlabelled."""
        return ()

    def does_without(self, params: P) -> tuple[str, ...]:
        """The splits in `reads` that may be empty with these options.

        If another one is empty, the suite is refused before any model loads.
        """
        return ()

    def row_files(self, params: P) -> tuple[Path, ...]:
        """Files with further rows that it reads. The key depends on their contents."""
        return ()

    def adds_rows(self, params: P) -> bool:
        """Whether it trains on rows that are not in the splits.

        Then it must skip the rows of context.are_held_out, and the key depends on the later splits.
        """
        return False

    def functions(self, params: P) -> tuple[str, ...]:
        """Functions of the user that it calls, by dotted path. The key depends on their code."""
        return ()

    def environment(self, params: P) -> Json:
        """What else the result depends on, such as the digest of a script. It is a part of the key."""
        return {}

    def by_processor(self, params: P) -> bool:
        """Whether its result depends on the processor, such as machine code or a choice by int8 answers."""
        return False
