"""Text classification: one or two text columns, any number of labels.

[task]
kind = "text_classification"
text = ["question1", "question2"]   # one column, or two for sentence pairs
label = "is_duplicate"
max_tokens = 128
pooling = "mean"                    # default "model": the architecture's own classification head
labels = ["0", "1"]                 # only where a ready-made model's label names differ from the data's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.encoding import EncodedTexts, encode_texts
from slimgate.errors import BuildError, DataError, SuiteError
from slimgate.labels import class_names, output_order
from slimgate.outcomes import ClassOutcomes
from slimgate.pretrained import pretrained
from slimgate.protocols import BuildContext, Encoded, ModelRef, Rows, TaskFacts, row_groups
from slimgate.tables import Table

if TYPE_CHECKING:
    from slimgate.objectives import Objective

STOCK = "transformers:AutoModelForSequenceClassification"
MEAN = "slimgate.nn.mean_pooling:MeanPoolingClassifier"
# More rows than these hardly move a logistic regression, and take their time and memory.
HEAD_ROWS = 20_000
# Families that number positions from the one after the padding token's id.
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet"})


class Params(Table):
    """[task] of a text classification."""

    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str
    max_tokens: int = Field(default=128, ge=2)
    pooling: Literal["model", "mean"] = "model"
    labels: tuple[str, ...] | None = None


def columns(params: Params) -> tuple[str, ...]:
    """The text columns and the label."""
    return (*params.text, params.label)


def text_columns(params: Params) -> tuple[str, ...]:
    """What must not stand in two splits; of a pair, the pair."""
    return params.text


def label_column(params: Params) -> str:
    """Splits are stratified by it."""
    return params.label


def metrics() -> frozenset[str]:
    """ClassOutcomes hold predictions and probabilities."""
    return frozenset({"prediction", "probabilities"})


def facts(params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
    """The classes of all splits. Raises DataError where there is only one."""
    values = {value for rows in splits.values() for value in rows.table[params.label].unique().to_pylist()}
    classes = class_names(values)
    if len(classes) < 2:
        raise DataError(
            f'column "{params.label}" holds one label only ({classes}); a classification needs two'
        )
    return TaskFacts(classes)


def label_indices(params: Params, rows: Rows, facts: TaskFacts) -> npt.NDArray[np.int64]:
    """Labels as indices into the classes: (rows,)."""
    index = {name: i for i, name in enumerate(facts.classes)}
    return np.asarray([index[str(value)] for value in rows.table[params.label].to_pylist()], dtype=np.int64)


def targets(params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded) -> npt.NDArray[np.int64]:
    """What is to be learnt: the label's index of each row, (rows,)."""
    return label_indices(params, rows, facts)


def unlabelled(params: Params, encoded: Encoded, facts: TaskFacts) -> npt.NDArray[np.int64]:
    """What is to be learnt of rows without labels: nothing by labels, (rows,)."""
    from slimgate.objectives import UNLABELLED

    return np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)


def objective(params: Params) -> Objective:
    """One class a row."""
    from slimgate.objectives import ClassObjective

    return ClassObjective()


def check_model(params: Params, ref: ModelRef, config: dict[str, Any], facts: TaskFacts | None) -> None:
    """Raises SuiteError where a config.json cannot serve this task."""
    longest = config.get("max_position_embeddings", config.get("n_positions"))
    if isinstance(longest, int) and config.get("model_type") in OFFSET_POSITIONS:
        longest -= int(config.get("pad_token_id", 1)) + 1
    if isinstance(longest, int) and params.max_tokens > longest:
        raise SuiteError(
            f"max_tokens = {params.max_tokens}, but {ref.text} has positions for {longest} tokens"
        )
    if facts is not None and has_head(params, config) and not ref.fresh:
        output_order(model_labels(config), facts.classes, params.labels, ref.text)


def has_head(params: Params, config: Mapping[str, Any]) -> bool:
    """Whether the saved model comes with a classification head of its own."""
    names = config.get("architectures") or []
    return params.pooling == "model" and any("ForSequenceClassification" in name for name in names)


def model_labels(config: Mapping[str, Any]) -> list[str]:
    """The label of each output, as the model's configuration names them."""
    labels = config.get("id2label") or {i: f"LABEL_{i}" for i in range(config.get("num_labels", 2))}
    return [str(labels[key]) for key in sorted(labels, key=int)]


def load_reads(params: Params, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Splits that loading reads: a fresh head is fitted on both, a ready-made one's label order is tried."""
    return ("selection",) if has_head(params, config) else ("train", "selection")


def load_model(params: Params, ref: ModelRef, context: BuildContext) -> Any:
    """The model of a folder; a head it lacks is fitted on `train` by logistic regression."""
    from transformers import AutoConfig

    from slimgate.fresh import tokenizer_of
    from slimgate.seeding import isolated_seed
    from slimgate.torch_model import TorchModel

    assert ref.folder is not None
    config = AutoConfig.from_pretrained(ref.folder)
    tokenizer = tokenizer_of(ref, _train_texts(params, context), config)
    ready = has_head(params, config.to_dict()) and not ref.fresh
    with isolated_seed(context.seed):  # what is fresh starts from random numbers
        network = _ready(params, ref, context) if ready else _headless(params, ref, config, context)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.config.pad_token_id = tokenizer.pad_token_id
    _name_labels(network.config, context.facts.classes)
    model = TorchModel(
        network.to(context.device).eval(), tokenizer, MEAN if params.pooling == "mean" else STOCK
    )
    if ready:
        _try_label_order(model, params, context, ref, model_labels(config.to_dict()))
    else:
        _fit_fresh_head(model, params, context)
    return model


def _train_texts(params: Params, context: BuildContext) -> Iterator[str]:
    """Read where a tokenizer is trained, and not before."""
    for column in params.text:
        yield from (str(value) for value in context.rows("train").table[column].to_pylist())


def _ready(params: Params, ref: ModelRef, context: BuildContext) -> Any:
    import torch

    from slimgate.blocks import output_layer

    network, missing = pretrained("AutoModelForSequenceClassification", ref)
    if missing:
        raise BuildError(
            f"{ref.text}: its weights lack {len(missing)} that its config.json names, first {missing[0]}"
        )
    labels = model_labels(network.config.to_dict())
    order = output_order(labels, context.facts.classes, params.labels, ref.text)
    layer = output_layer(network, len(labels))
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order].clone())
    context.log.update(head="the model's own", output_order=order)
    return network


def _try_label_order(
    model: Any, params: Params, context: BuildContext, ref: ModelRef, names: list[str]
) -> None:
    from slimgate.label_order import require_label_order

    order = output_order(names, context.facts.classes, params.labels, ref.text)
    require_label_order(model, params, context, names=names, order=order, where=ref.text)


def _headless(params: Params, ref: ModelRef, config: Any, context: BuildContext) -> Any:
    from slimgate.blocks import encoder_layers
    from slimgate.nn.mean_pooling import MeanPoolingClassifier

    _name_labels(config, context.facts.classes)
    auto = "AutoModelForSequenceClassification" if params.pooling == "model" else "AutoModel"
    network, missing = pretrained(auto, ref, config=config)
    blocks = {id(parameter) for parameter in encoder_layers(network).parameters()}
    lacking = [
        name for name, parameter in network.named_parameters() if name in missing and id(parameter) in blocks
    ]
    if lacking:
        raise BuildError(
            f"{ref.text}: its weights lack {len(lacking)} of the blocks' own, first {lacking[0]}"
        )
    context.log.update(fresh_weights=missing)
    return network if params.pooling == "model" else MeanPoolingClassifier(network.config, network)


def _name_labels(config: Any, classes: tuple[str, ...]) -> None:
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: i for i, name in enumerate(classes)}


def _fit_fresh_head(model: Any, params: Params, context: BuildContext) -> None:
    from slimgate.blocks import output_layer
    from slimgate.heads import classifier_inputs, fit_head

    layer = output_layer(model.network, len(context.facts.classes))

    def data(split: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        rows = Rows(context.rows(split).table.slice(0, HEAD_ROWS))  # a split's rows stand in random order
        encoded = context.task.encode_rows(
            params, rows, model.tokenizer
        )  # a user's own task may have another
        return classifier_inputs(model.network, layer, encoded), label_indices(params, rows, context.facts)

    held_out = data("selection") if len(context.splits.get("selection", ())) else None
    context.log.update(fit_head(layer, data("train"), held_out, seed=context.seed))


def encode_rows(params: Params, rows: Rows, tokenizer: Any) -> EncodedTexts:
    """Tokenises the text columns."""
    texts = [rows.table[column].to_pylist() for column in params.text]
    return encode_texts(tokenizer, texts, max_tokens=params.max_tokens)


def row_encoder(params: Params, folder: Path) -> Callable[[Rows], EncodedTexts]:
    """Tokenises rows by the tokenizer of an artifact, which is loaded once."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda rows: encode_rows(params, rows, tokenizer)


def outcomes(
    facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
) -> ClassOutcomes:
    """Softmax of the logits in float64; the prediction is the most probable class."""
    logits = scores.astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return ClassOutcomes(
        ids=np.asarray(rows.ids, dtype=np.str_),
        labels=label_indices(params, rows, facts),
        predictions=logits.argmax(axis=1).astype(np.int64),
        classes=facts.classes,
        probabilities=probabilities,
        groups=row_groups(rows, group),
    )
