"""Loads models for tasks with a linear head on a transformer. The head is the model's, or a fresh one.

    head = Head("AutoModelForSequenceClassification", names=facts.classes)
    loaded = load_classifier(head, ref, context, texts=list_train_texts(params.text, context))
    if not loaded.ready:
        ...  # fit loaded.layer on `train`

The module is cheap to import: `check_positions` and `check_outputs` check a suite before torch loads.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate.data.labels import find_output_order
from slimgate.errors import SuiteError
from slimgate.models.config import check_positions, list_model_labels
from slimgate.models.model_ref import TORCH
from slimgate.models.pretrained import load_weights, require_weights
from slimgate.models.saved_files import check_tokenizer, read_weight_shapes
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.params import Table
from slimgate.plugins.rows import TaskFacts
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel

SEQUENCE_CLASSIFIER = "AutoModelForSequenceClassification"
TOKEN_CLASSIFIER = "AutoModelForTokenClassification"
MEAN_CLASSIFIER = "slimgate.models.mean_pooling:MeanPoolingClassifier"
# The data that a head is fitted on: features (rows, in_features), and the label of each row.
HeadData = tuple[npt.NDArray[np.float32], npt.NDArray[Any]]
# More rows than this hardly change a linear head, and take time and memory.
HEAD_ROWS = 20_000
SAVE_WITH_HEAD = "Save the whole model, with its head"
NEW_HEAD = "set new_head = true to fit a new head on the train rows"


@dataclass(frozen=True)
class Head:
    """The head that a task needs on top of a transformer.

    auto: transformers' Auto class.
    names: the names of the outputs, in order.
    stated: the data's name of each output of a ready-made model, if the suite states it.
    mean: pool by the mean instead of the model's own way.
    ordered: whether a ready-made model's outputs are put in the order of `names`.
    problem_type: the kind of labels, as transformers' configurations call it.
    """

    auto: str
    names: tuple[str, ...]
    stated: tuple[str, ...] | None = None
    mean: bool = False
    ordered: bool = True
    problem_type: str | None = None


@dataclass(frozen=True)
class LoadedClassifier:
    """A loaded model with its head.

    ready: whether the head came with the model. layer: the layer that gives logits.
    model_labels: the names of the outputs in a ready-made model's config.json.
    """

    model: TorchModel
    ready: bool
    layer: Any
    model_labels: tuple[str, ...]


def has_head(head: Head, config: Json) -> bool:
    """Whether the saved model has such a head; outputs without an order must be equal in number."""
    kind = head.auto.removeprefix("AutoModel")
    if head.mean or not any(kind in name for name in config.get("architectures") or []):
        return False
    return head.ordered or len(list_model_labels(config)) == len(head.names)


def is_head_new(head: Head, ref: ModelRef, config: Json) -> bool:
    """Whether loading makes a new head: the model has none of this kind, or the task asks for another."""
    return ref.fresh or ref.new_head is True or not has_head(head, config)


def remove_head(config: Json) -> dict[str, Any]:
    """The config.json of a model without the entries of its head."""
    return {**config, "architectures": []}


def check_head(head: Head, ref: ModelRef, config: Json) -> None:
    """Raises SuiteError if a model that is judged as its files are has no such head.

    It reads only config.json and the shapes in the files, so nothing is loaded or trained before the check.
    The head of a graph is part of the graph.
    """
    if ref.stored is not None and not has_head(head, config):
        raise SuiteError(
            f"{ref.text}: {_describe_lacking_head(head, config)}. {SAVE_WITH_HEAD}: weights that are "
            "quantized already cannot get a new head"
        )
    if ref.fresh or ref.new_head is not False or ref.kind != TORCH:
        return
    if head.mean:
        raise SuiteError(
            f'{ref.text}: [task] pooling = "mean" needs a head of slimgate, and a folder of transformers has '
            f"none; write the path of an exported graph (`slimgate export` writes one), or {NEW_HEAD}"
        )
    if not has_head(head, config):
        raise SuiteError(
            f"{ref.text}: {_describe_lacking_head(head, config)}. {SAVE_WITH_HEAD}, or {NEW_HEAD}"
        )
    outputs, weights = len(list_model_labels(config)), read_weight_shapes(ref.folder) if ref.folder else None
    if weights is None or "quantization_config" in config:  # packed weights have other shapes
        return
    if not any(outputs in shape for name, shape in weights.items() if "embed" not in name):
        raise SuiteError(
            f"{ref.text}: config.json names a head ({_format_architectures(config)}, outputs: {outputs}), "
            f"but none of the {len(weights)} weights in its files has so many outputs: the head was not "
            f"saved. {SAVE_WITH_HEAD}, or {NEW_HEAD}"
        )


def _describe_lacking_head(head: Head, config: Json) -> str:
    """The end of a message: what kind of model it is, and what it lacks."""
    kind = head.auto.removeprefix("AutoModel")
    if kind in _format_architectures(config):
        outputs = len(list_model_labels(config))
        return f"its head has {outputs} outputs, and this task needs {len(head.names)}"
    return f"config.json names {_format_architectures(config)}, expected a model with a head (…{kind})"


def _format_architectures(config: Json) -> str:
    return ", ".join(config.get("architectures") or ()) or "no architecture"


def check_outputs(head: Head, ref: ModelRef, config: Json) -> None:
    """Raises SuiteError if the labels of a ready-made model do not fit the head's names."""
    if head.ordered and not is_head_new(head, ref, config):
        find_output_order(list_model_labels(config), head.names, head.stated, ref.text)


class HeadParams(Table):
    """[task] of a model with a head. Each task declares max_tokens at its position among its options."""

    if TYPE_CHECKING:
        max_tokens: int


H = TypeVar("H", bound=HeadParams)


class HeadTask(Task[H]):
    """A task whose answers come from a head on a transformer."""

    @abstractmethod
    def head(self, params: H, classes: tuple[str, ...] = ()) -> Head:
        """The head that the task needs; classes: the classes of the rows, once they are read."""

    def check_model(self, params: H, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        check_positions(params.max_tokens, ref, config)
        check_tokenizer(ref)
        check_head(self.head(params), ref, config)
        if facts is not None:
            check_outputs(self.head(params, facts.classes), ref, config)

    def load_reads(self, params: H, config: Json) -> tuple[str, ...]:
        """Splits that loading reads: those that a fresh head is fitted on."""
        return () if has_head(self.head(params), config) else ("train", "selection")


def load_classifier(
    head: Head, ref: ModelRef, context: BuildContext, *, texts: Iterable[str]
) -> LoadedClassifier:
    """Loads the model of a folder, with a head of random weights if it has none, or is to have a new one.

    Args:
        head: what the task needs.
        ref: names the folder.
        context: of the build.
        texts: of the train rows, read only if a tokenizer is trained on them.

    Raises:
        BuildError: if the model cannot be loaded.
        SuiteError: if a model that is judged as its files are has no head.
    """
    from slimgate.models.blocks import find_output_linear
    from slimgate.models.pretrained import load_config, load_or_train_tokenizer
    from slimgate.models.seeding import isolated_seed
    from slimgate.models.torch_model import TorchModel

    assert ref.folder is not None
    config = load_config(ref)
    tokenizer = load_or_train_tokenizer(ref, texts, config)
    check_head(head, ref, config.to_dict())
    ready = not is_head_new(head, ref, config.to_dict())
    model_labels = tuple(list_model_labels(config.to_dict()))
    with isolated_seed(context.seed):  # fresh weights start from random numbers
        network = (
            _load_ready_made(head, ref, context) if ready else _load_headless(head, ref, config, context)
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.config.pad_token_id = tokenizer.pad_token_id
    _name_outputs(network.config, head)
    architecture = MEAN_CLASSIFIER if head.mean else f"transformers:{head.auto}"
    model = TorchModel(network.to(context.device).eval(), tokenizer, architecture)
    return LoadedClassifier(model, ready, find_output_linear(model.network, len(head.names)), model_labels)


def _load_ready_made(head: Head, ref: ModelRef, context: BuildContext) -> Any:
    weights = load_weights(head.auto, ref)
    require_weights(ref, weights, context)
    network = weights.network
    context.log["head"] = "the model's own"
    if head.ordered:
        labels = list_model_labels(network.config.to_dict())
        order = find_output_order(labels, head.names, head.stated, ref.text)
        if ref.stored is not None and order != sorted(order):
            raise SuiteError(
                f"{ref.text}: its outputs are {labels}, expected the sorted order of the data's labels, "
                f"{list(head.names)}; quantized weights are judged as they are: save them in that order"
            )
        if ref.stored is None:
            _reorder_outputs_(network, order)
        context.log["output_order"] = order
    return network


def _reorder_outputs_(network: nn.Module, order: list[int]) -> None:
    """Puts the outputs of the last layer in another order."""
    import torch

    from slimgate.models.blocks import find_output_linear

    layer = find_output_linear(network, len(order))
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order].clone())


def _load_headless(head: Head, ref: ModelRef, config: PreTrainedConfig, context: BuildContext) -> Any:
    from slimgate.models.mean_pooling import MeanPoolingClassifier

    _name_outputs(config, head)
    # A head of another task may have another shape: it is not loaded, and listed among the fresh weights.
    options = {"config": config, "ignore_mismatched_sizes": True}
    # A head is fitted in float32.
    weights = load_weights("AutoModel" if head.mean else head.auto, ref, dtype="float32", **options)
    require_weights(ref, weights, context, new_head=True)
    context.log.update(fresh_weights=weights.missing)
    return MeanPoolingClassifier(weights.network.config, weights.network) if head.mean else weights.network


def _name_outputs(config: PreTrainedConfig, head: Head) -> None:
    config.id2label = dict(enumerate(head.names))
    config.label2id = {name: i for i, name in enumerate(head.names)}
    # not that of the head that is replaced: transformers refuses one output for "single_label_classification"
    config.problem_type = head.problem_type
