"""Tiny models for tests of `slimgate export`, stored as a run stores them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny
from fixtures.models.kept_models import StoredRun, store_run
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load
from slimgate.plugins.module_of import module_of

Run = Callable[..., tuple[int, str, str]]


def make_classifier(folder: Path, context: BuildContext, *, blocks: int = 1, **task: Any) -> Any:
    """A BERT with a head. Its blocks are few, because an export takes two seconds more for each."""
    context.task_params = PARAMS.model_copy(update=task)
    hub = write_tiny_classifier(folder / "hub", num_hidden_layers=blocks)
    return load_tiny(hub, context)


def apply_steps(model: Any, context: BuildContext, *steps: str, **options: Any) -> Any:
    """Applies steps to a model. options: of the last step."""
    for name in steps:
        step = load("step", name)
        params = step.Params(**(options if name == steps[-1] else {}))
        model = step.apply(model, params, context)
        model.kind = step.gives or model.kind
    return model


def store_model(folder: Path, model: Any, context: BuildContext) -> StoredRun:
    kind = module_of(context.task).rpartition(".")[2]
    return store_run(folder, "small", model, kind, context.task_params)
