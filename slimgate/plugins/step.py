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
    changes_weights: False: `apply` gets weights of 16 bits as they are. Otherwise they become float32.
    teacher_option: the option that names the model of `learns_from`, for errors.
    restore(network, spec): repeats the noted change on an empty network, before the weights are loaded; None:
        the change that `replace_modules_` noted.

    The key in the store depends on these:

    reads: the splits that it reads.
    uses_teacher: whether it needs the suite's teacher.
    stochastic: whether another seed gives another model. It is True for a step from outside of slimgate that
        does not declare it: with False, one build would serve as the builds of all seeds.
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
    changes_weights: bool = True
    teacher_option: str = "teacher"
    code_modules: tuple[str, ...] = ()
    restore: Callable[[nn.Module, Json], None] | None = None

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        is_declared = any("stochastic" in vars(base) for base in cls.__mro__ if base is not Step)
        if not is_declared and not cls.__module__.startswith("slimgate."):
            cls.stochastic = True

    def weight_format(self, params: P) -> str:
        """The format of the weights in the artifact's files. It decides which runtimes execute the artifact.

        slimgate calls it for a variant's last step, if the artifact is of the kind "served" or
        "quantized_checkpoint". The default is "unknown": a runtime takes it only if it unpacks weights, and
        its times are not measured.

        Args:
            params: the options of the step, checked.

        Returns:
            `gguf`, or a quant_method of transformers such as "compressed-tensors".
        """
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
        """The step that does the work with these options.

        slimgate calls it once, when it reads the step in a suite, and uses the result from then on. Override
        it if attributes such as `reads` or `gives` depend on the options. The default returns this step.

        Args:
            params: the options of the step, checked.

        Returns:
            A step that takes the same options.
        """
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
        """The model that `context.load_teacher()` loads. slimgate calls it only if `uses_teacher` is set.

        Args:
            params: the options of the step, checked.

        Returns:
            "teacher" (the default), "self" for the model before the step, or the name of a variant. slimgate
            builds that model first.
        """
        return "teacher"

    def also_learns_from(self, params: P) -> tuple[str, ...]:
        """Further models that the step learns from. slimgate calls it only if `uses_teacher` is set.

        `context.of_more_teachers()` has a context for each of them. If two teachers turn out to be the same
        model, the build fails.

        Args:
            params: the options of the step, checked.

        Returns:
            Names as in `learns_from`; none by default.
        """
        return ()

    def also_reads(self, params: P) -> tuple[str, ...]:
        """The splits that the step reads with these options, in addition to `reads`.

        Args:
            params: the options of the step, checked.

        Returns:
            Some of train, calibration, selection and unlabelled; none by default.
        """
        return ()

    def does_without(self, params: P) -> tuple[str, ...]:
        """The splits in `reads` and `also_reads` that may be empty with these options.

        If the step needs calibration rows and there are none, slimgate refuses the suite before it loads a
        model. For another empty split, `context.rows` raises DataError during the build.

        Args:
            params: the options of the step, checked.

        Returns:
            Names of splits; none by default.
        """
        return ()

    def row_files(self, params: P) -> tuple[Path, ...]:
        """Files with further rows that the step reads. Their contents are part of the store's key.

        When slimgate reads a suite, it checks that they exist and have the task's text columns.

        Args:
            params: the options of the step, checked.

        Returns:
            Paths with the suffix .csv, .tsv, .jsonl, .json, .parquet, .txt or .text; none by default.
        """
        return ()

    def adds_rows(self, params: P) -> bool:
        """Whether the step trains on rows that are not in the splits.

        Such a step must skip the rows for which `context.are_held_out` is True. The store's key then has the
        calibration, selection, confirm and gate rows.

        Args:
            params: the options of the step, checked.

        Returns:
            False by default. Then `context.are_held_out` raises DataError.
        """
        return False

    def functions(self, params: P) -> tuple[str, ...]:
        """The user's own functions that the step calls.

        slimgate imports them when it reads a suite, and refuses what is not callable. The store's key has the
        code of their modules.

        Args:
            params: the options of the step, checked.

        Returns:
            Names such as "package.module:function"; none by default.
        """
        return ()

    def environment(self, params: P) -> Json:
        """Further inputs that the result depends on, such as the digest of a script.

        They are part of the store's key. slimgate calls it before it looks for the artifact in the store. An
        error ends the build of the variant.

        Args:
            params: the options of the step, checked.

        Returns:
            JSON values by name; none by default.
        """
        return {}

    def by_processor(self, params: P) -> bool:
        """Whether the result depends on the processor, such as machine code, or a choice by int8 answers.

        Args:
            params: the options of the step, checked.

        Returns:
            True if the store should keep an artifact for each processor and number of threads. False by
            default.
        """
        return False
