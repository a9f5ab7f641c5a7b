"""Steps on one tower of an image-text model, or on each of them.

    { in_tower = { tower = "vision", steps = [{ keep_layers = [0, 2] }] } }
    { in_tower = { tower = "both", steps = [{ magnitude_prune = { sparsity = 0.5 } }] } }

Inside, a step sees the tower as if it were the model: its blocks, its layers, its embeddings. The other tower
stays unchanged, even if a step trains (locked-image tuning, Zhai et al. 2022, trains only the text tower).
Losses are those of both towers together. "both": the steps run on the vision tower, then on the text tower,
and rank, choose and train separately. To train both at once, write the step without in_tower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import Field, ValidationError, model_validator

from slimgate.errors import BuildError, SlimgateError
from slimgate.models.families import check_family
from slimgate.models.image_text_processor import ImageTextProcessor
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import list_code_modules, load
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.models.two_towers import Tower, TwoTowers


class Params(Table):
    tower: Literal["vision", "text", "both"] = "both"
    """The tower that the steps change; "both" changes the vision tower, then the text tower."""
    steps: tuple[dict[str, Any], ...] = Field(min_length=1)
    """The steps, in order, written as the steps of a variant."""

    @property
    def precision(self) -> str | None:
        """The format in which the steps train, "auto" if one of them says so; part of the key."""
        stated = [
            getattr(step.params, "precision", None) for step in read_inner_steps(self.tower, self.steps, load)
        ]
        return "auto" if "auto" in stated else next((precision for precision in stated if precision), None)

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        read_inner_steps(self.tower, self.steps, load)
        return self


Load = Callable[[str, str], Any]
NOT_INSIDE = {
    "active_distill": "it chooses rows by probabilities of classes, which captions do not have; use distill",
    "in_tower": "write its steps here",
    "new_student": 'write the shape as a config.json, and start from model = "fresh:FOLDER"',
    "static_student": "a tower's vectors come from all its tokens, and patches have no vocabulary",
    "prune_hidden": "its patches and heads have the width; use prune_heads, prune_ffn or low_rank",
}
OF_VOCABULARY = frozenset({"factorize_embeddings", "trim_vocabulary"})


@dataclass(frozen=True)
class InnerStep:
    """A step of the chain with its validated Params."""

    name: str
    plugin: Step[Any]
    params: Any


def read_inner_steps(tower: str, steps: Sequence[dict[str, Any]], load: Load) -> tuple[InnerStep, ...]:
    """The steps with their plug-ins; load: of loading.py. Raises ValueError that names the step."""
    parsed_steps = []
    for i, step in enumerate(steps):
        if len(step) != 1:
            raise ValueError(
                f"steps[{i}]: {', '.join(step) or 'nothing'} was given, expected one step per table"
            )
        [(name, options)] = step.items()
        if name in NOT_INSIDE:
            raise ValueError(f"steps[{i}]: {name} cannot be inside of in_tower; {NOT_INSIDE[name]}")
        if name in OF_VOCABULARY and tower != "text":
            raise ValueError(
                f'steps[{i}]: {name} needs a vocabulary, which images do not have; set tower = "text"'
            )
        try:
            plugin = load("step", name)
        except SlimgateError as error:
            raise ValueError(f"steps[{i}]: {error}") from None
        params = _parse_params(f"steps[{i}] {name}", plugin, options)
        plugin = plugin.resolve(params)
        if (processes := getattr(params, "processes", 1)) > 1:
            raise ValueError(
                f"steps[{i}] {name}: processes = {processes} was given, but a tower trains in one"
            )
        parsed_steps.append(InnerStep(name, plugin, params))
        if more := plugin.also_learns_from(params):
            problem = f"more_teachers = {list(more)} was given, but a tower learns from one model"
            raise ValueError(f"steps[{i}] {name}: {problem}")
    _check_kinds(parsed_steps)
    if len(teachers := _list_teachers(parsed_steps)) > 1:
        raise ValueError(
            f"steps learn from {' and '.join(teachers)}, expected one model; use a separate in_tower for each"
        )
    return tuple(parsed_steps)


def _parse_params(where: str, plugin: Step[Any], options: object) -> Any:
    try:
        return plugin.Params.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}{'.' if place else ''}{place}: {first['msg']}") from None


def _check_kinds(steps: Sequence[InnerStep]) -> None:
    kind = None
    for i, step in enumerate(steps):
        if kind is not None and kind not in step.plugin.takes:
            kinds = " or ".join(sorted(step.plugin.takes))
            raise ValueError(
                f"steps[{i}]: {step.name} cannot start from an artifact of kind {kind}, expected {kinds}"
            )
        kind = step.plugin.gives or kind


class InTower(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})

    def resolve(self, params: Params) -> TowerSteps:
        """The step that combines these steps: it reads and gives what they do."""
        return TowerSteps(params.tower, read_inner_steps(params.tower, params.steps, load))

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after the steps."""
        return self.resolve(params).apply(model, params, context)


step = InTower()


class TowerSteps(Step[Params]):
    """A step that applies steps inside of a tower, or of both, one after the other."""

    def __init__(self, tower: Literal["vision", "text", "both"], steps: Sequence[InnerStep]) -> None:
        plugins = [step.plugin for step in steps]
        self.towers: tuple[Tower, ...] = ("vision", "text") if tower == "both" else (tower,)
        self.steps = tuple(steps)
        self.takes = plugins[0].takes
        self.gives = next((plugin.gives for plugin in reversed(plugins) if plugin.gives), None)
        self.reads = tuple(dict.fromkeys(split for plugin in plugins for split in plugin.reads))
        self.uses_teacher = any(plugin.uses_teacher for plugin in plugins)
        self.stochastic = any(plugin.stochastic for plugin in plugins)
        self.claims = tuple(dict.fromkeys(c for plugin in plugins for c in plugin.claims))
        self.packages = tuple(dict.fromkeys(p for m in plugins for p in m.packages))
        self.requires = tuple(dict.fromkeys(r for plugin in plugins for r in plugin.requires))
        modules = (
            module
            for s in steps
            for module in (*list_code_modules("step", s.name, s.plugin), *s.plugin.code_modules)
        )
        self.code_modules = tuple(dict.fromkeys(modules))

    def learns_from(self, params: Params) -> str:
        """The model that the steps learn from; `read_inner_steps` has checked that there is only one."""
        return next(iter(_list_teachers(self.steps)))

    def row_files(self, params: Params) -> tuple[Path, ...]:
        """The files that the steps read."""
        return tuple(path for s in self.steps for path in s.plugin.row_files(s.params))

    def also_reads(self, params: Params) -> tuple[str, ...]:
        """The further splits that the steps read with these options."""
        return tuple(split for s in self.steps for split in s.plugin.also_reads(s.params))

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The splits that none of the steps needs."""
        needed = {
            split
            for s in self.steps
            for split in s.plugin.reads
            if split not in s.plugin.does_without(s.params)
        }
        return tuple(split for split in self.reads if split not in needed)

    def functions(self, params: Params) -> tuple[str, ...]:
        """The user's own functions that the steps call."""
        return tuple(name for s in self.steps for name in s.plugin.functions(s.params))

    def environment(self, params: Params) -> Json:
        """Everything else that the results of the steps depend on, by position and name."""
        return {
            f"{number} {step.name}": environment
            for number, step in enumerate(self.steps)
            if (environment := step.plugin.environment(step.params))
        }

    def by_processor(self, params: Params) -> bool:
        """Whether the result of one of the steps depends on the processor."""
        return any(step.plugin.by_processor(step.params) for step in self.steps)

    def adds_rows(self, params: Params) -> bool:
        """Whether one of the steps trains on other rows."""
        return any(step.plugin.adds_rows(step.params) for step in self.steps)

    def check(self, params: Params, config: Json) -> Json:
        """The configuration after the steps. Raises SuiteError if one of them is impossible."""
        for tower in self.towers:
            inner = dict(config.get(f"{tower}_config") or {})
            for step in self.steps:
                check_family(step.name, step.plugin, inner)
                inner = step.plugin.check(step.params, inner)
            config = {**config, f"{tower}_config": inner}
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after the steps. Raises BuildError for a model that has no towers."""
        if not hasattr(model.network, "view_as"):
            raise BuildError(f"in_tower: {type(model.network).__name__} has no towers")
        for tower in self.towers:
            for number, step in enumerate(self.steps):
                self._apply_step(model, tower, number, step, context)
        return model

    def _apply_step(
        self, model: TorchModel, tower: Tower, number: int, step: InnerStep, context: BuildContext
    ) -> None:
        network: Any = model.network
        images, noted = model.tokenizer.images, len(model.modifications)
        scratch = context.scratch / f"{tower}-{number}"
        scratch.mkdir()
        with ExitStack() as stack:

            def load_teacher() -> TorchModel:
                teacher = context.load_teacher()
                stack.enter_context(cast("TwoTowers", teacher.network).view_as(tower))
                return teacher

            stack.enter_context(_only_tower(network, tower))
            tower_context = replace(context, load_teacher=load_teacher, scratch=scratch, log={})
            stepped = step.plugin.apply(model, step.params, tower_context)
        if stepped is not model or stepped.network is not network:
            raise BuildError(f"in_tower: {step.name} makes a new network, which cannot be a tower")
        for change in model.modifications[noted:]:
            change["tower"] = tower  # loading shows the same tower to `restore`
        model.kind = step.plugin.gives or model.kind
        cast("TwoTowers", network).update_end_token_()
        if not hasattr(model.tokenizer, "images"):  # the step has replaced it by a tokenizer alone
            model.tokenizer = ImageTextProcessor(model.tokenizer, images)
        context.log.update(
            tower_context.log
            if len(self.towers) * len(self.steps) == 1
            else {self._format_stage(tower, number): tower_context.log}
        )

    def _format_stage(self, tower: str, number: int) -> str:
        """`vision distill`; `vision distill 2` if a step occurs again."""
        name = self.steps[number].name
        before = sum(step.name == name for step in self.steps[:number])
        return f"{tower} {name}" + (f" {before + 1}" if before else "")


@contextmanager
def _only_tower(network: TwoTowers, tower: Tower) -> Iterator[None]:
    """The network seen as one tower, the only part of it that can be trained."""
    with network.view_as(tower):
        shown = {id(parameter) for parameter in network.parameters()}
    frozen = [p for p in network.parameters() if id(p) not in shown and p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        with network.view_as(tower):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _list_teachers(steps: Sequence[InnerStep]) -> list[str]:
    """The models that the steps learn from, each once."""
    learning = [step for step in steps if step.plugin.uses_teacher]
    return list(dict.fromkeys(step.plugin.learns_from(step.params) for step in learning))
