"""Loads a model that is stored as a graph; it is judged exactly as it is in its folder.

A graph gets no new head, and its outputs are not reordered: they must match the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slimgate.data.labels import find_output_order, format_label_map
from slimgate.errors import BuildError, SuiteError
from slimgate.models.config import list_model_labels
from slimgate.models.graph import FolderModel, draw_example_batches
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import find_default_runtime
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import TaskFacts
from slimgate.plugins.runtime import Runtime
from slimgate.run.contents import list_model_files
from slimgate.steps.agreement import make_default_predictor, score_batches

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.plugins.models import Saved
    from slimgate.plugins.task import Task


def find_graph_runtime(kind: str) -> Runtime[Any]:
    """The runtime that executes folders of that kind."""
    named_runtime = find_default_runtime(kind)
    assert named_runtime is not None, kind
    return named_runtime[1]


def check_graph(ref: ModelRef, config: Json, task: Task[Any], params: BaseModel, facts: TaskFacts) -> None:
    """Raises SuiteError if the graph with this config.json does not fit the task. Loads nothing.

    A graph that gives vectors has `sentence` in config.json, and takes one or two texts for each row. A GGUF
    file takes as many texts as the task has. The outputs of other graphs must be the data's labels, if the
    task reads classes from the outputs.
    """
    sentence = config.get("sentence")
    if sentence is not None:
        texts = sentence.get("texts", 1)
        if texts is not None:  # None: a GGUF file
            _check_texts(ref, int(texts), task.text_columns(params))
    elif facts.classes and task.scores_classes:
        labels = list_model_labels(config)
        order = find_output_order(labels, facts.classes, getattr(params, "labels", None), ref.text)
        if order != sorted(order):
            raise SuiteError(
                f"{ref.text}: the graph's outputs are {format_label_map(labels)}, expected the sorted order "
                f"of the data's labels, {format_label_map(facts.classes)}; slimgate does not change a "
                "graph, so export it in that order"
            )


def load_graph(ref: ModelRef, context: BuildContext) -> Saved:
    """The graph of a folder, such as an OnnxModel. Raises BuildError if its outputs do not fit the task.

    If only its runtime can read it, a FolderModel keeps it, and nobody counts its outputs here.
    """
    assert ref.folder is not None
    runtime = find_graph_runtime(ref.kind)
    context.log["graph"] = f"{ref.kind}, as it is in the folder"
    if runtime.load_model is None:
        return FolderModel(ref.kind, ref.folder, list_model_files(ref))
    model = runtime.load_model(ref.folder / ref.file if ref.file else ref.folder, context.device)
    sentence = getattr(model.config, "sentence", None)
    if sentence is not None and sentence["texts"] is None:
        sentence["texts"] = len(context.task.text_columns(context.task_params))
    if sentence is None and context.facts.classes and context.task.scores_classes:
        outputs = score_batches(
            make_default_predictor(model, context), draw_example_batches(model.tokenizer, model.config)[:1]
        )[0]
        if outputs.shape[-1] != len(context.facts.classes):
            raise BuildError(
                f"{ref.text}: the graph gives {outputs.shape[-1]} scores, expected one for each of the "
                f"{len(context.facts.classes)} labels"
            )
    return model


def _check_texts(ref: ModelRef, actual: int, columns: Sequence[str]) -> None:
    if actual != len(columns):
        raise SuiteError(
            f"{ref.text}: the graph encodes {actual} text{'s' if actual > 1 else ''} a row, and the task's "
            f"rows have {len(columns)} ({', '.join(columns)}); export a variant with the step to_onnx or "
            "to_openvino"
        )
