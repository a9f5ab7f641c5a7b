"""The step static_student: a weighted mean of token vectors, which start from the model's own."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_context, save_and_load
from fixtures.models.embeddings import LABELS, PAIRS, compute_vectors, make_embedding_context
from fixtures.models.task_rows import make_task_context
from slimgate.errors import BuildError, SuiteError
from slimgate.models.predict import predict_scores
from slimgate.plugins.rows import Rows
from slimgate.steps.agreement import make_default_predictor
from slimgate.steps.convert import onnx_int8_static, to_onnx
from slimgate.steps.factorize import trim_vocabulary
from slimgate.steps.finetune import distill, static_student
from slimgate.tasks import text_classification

UINT8 = 2  # of onnx.TensorProto
TEXTS = ("good film", "film good", "a very very boring movie", "")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_classifier(tmp_path_factory.mktemp("hub"))


def build_student(hub: Path, folder: Path, **params: Any) -> tuple[Any, Any, Any]:
    """(teacher, student, context)"""
    context = make_tiny_context(folder, calibration=16)
    teacher = load_tiny(hub, context)
    context.load_teacher = lambda: teacher
    params = {"dims": 8, **params}
    return teacher, static_student.step.apply(teacher, static_student.Params(**params), context), context


def answers(model: Any, context: Any, *, together: bool = True) -> Any:
    """The scores of TEXTS, (texts, outputs): in one batch, or each in its own."""
    rows = Rows(pa.table({"text": list(TEXTS)}))
    encoded = text_classification.task.encode_rows(PARAMS, rows, model.tokenizer)
    size = len(TEXTS) if together else 1
    return predict_scores(make_default_predictor(model, context), encoded, batch_size=size)


def with_bigrams(student: Any) -> Any:
    """The student after some training, as far as its buckets are concerned."""
    with torch.no_grad():
        torch.nn.init.normal_(student.network.encoder.bigrams.weight)
    return student


def shapes_in_int8(graph: Any) -> set[tuple[int, ...]]:
    """Of its tables."""
    tensors = graph.proto.graph.initializer
    return {tuple(tensor.dims) for tensor in tensors if tensor.data_type == UINT8 and len(tensor.dims) == 2}


def test_a_token_alone_starts_from_what_the_teachers_head_gets(hub: Path, tmp_path: Path) -> None:
    teacher, student, context = build_student(hub, tmp_path, dims=32, sif=1e9)
    ids = torch.tensor([[2, token, 3] for token in range(5, 23)])  # [CLS] token [SEP]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected = teacher.network(input_ids=ids, attention_mask=mask).logits
        logits = student.network(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert context.log["energy_kept"] == pytest.approx(1.0)
    assert context.log["parameters_after"] < context.log["parameters_before"]


def test_a_text_is_the_weighted_mean_of_its_tokens(hub: Path, tmp_path: Path) -> None:
    _, student, context = build_student(hub, tmp_path, sif=0.1)
    encoder, tokenizer = student.network.encoder, student.tokenizer
    texts = context.rows("train").table["text"].to_pylist()
    every = " ".join(texts).split()
    ids = tokenizer(TEXTS[2])["input_ids"]
    words = TEXTS[2].split()
    weights = [0.1 / (0.1 + every.count(word) / len(every)) for word in words]
    _, other, _ = build_student(hub, tmp_path, sif=1e9)  # where all are taken alike
    table = other.network.encoder.embeddings["tokens"].weight.detach()
    vectors = [table[tokenizer.convert_tokens_to_ids(word)] for word in words]
    scores = encoder.embeddings["scores"].weight
    with torch.no_grad():
        scores[tokenizer.convert_tokens_to_ids("very")] = math.log(3.0)
    shares = [3 if word == "very" else 1 for word in words]
    by_hand = sum(s * w * v for s, w, v in zip(shares, weights, vectors, strict=True)) / sum(shares)
    with torch.no_grad():
        vector = encoder(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.int64))[0]
    torch.testing.assert_close(vector, by_hand, atol=1e-5, rtol=1e-4)


def test_the_order_of_words_counts_with_bigrams_alone(hub: Path, tmp_path: Path) -> None:
    _, student, context = build_student(hub, tmp_path)
    first, other, *_ = answers(student, context)
    np.testing.assert_allclose(first, other, atol=1e-6)
    _, student, context = build_student(hub, tmp_path, bigrams=64)
    first, other, *_ = answers(student, context)
    np.testing.assert_allclose(first, other, atol=1e-6)  # buckets start empty
    first, other, *_ = answers(with_bigrams(student), context)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("bigrams", [0, 64])
@pytest.mark.parametrize("side", ["right", "left"])
def test_an_answer_is_the_same_alone_and_in_a_batch_also_in_onnx(
    hub: Path, tmp_path: Path, bigrams: int, side: str
) -> None:
    _, student, context = build_student(hub, tmp_path, bigrams=bigrams)
    student.tokenizer.padding_side = side
    if bigrams:
        with_bigrams(student)
    alone = answers(student, context, together=False)
    np.testing.assert_allclose(answers(student, context), alone, atol=1e-6)
    assert np.isfinite(alone).all()
    graph = to_onnx.step.apply(student, to_onnx.Params(), context)
    for together in (True, False):
        np.testing.assert_allclose(answers(graph, context, together=together), alone, atol=1e-5)


def test_a_stored_student_is_the_same(hub: Path, tmp_path: Path) -> None:
    _, student, context = build_student(hub, tmp_path, bigrams=16)
    with_bigrams(student)
    again = save_and_load(student, tmp_path / "artifact")
    assert np.array_equal(answers(again, context), answers(student, context))


@pytest.mark.parametrize("bigrams", [0, 64])
def test_the_tables_of_its_graph_may_be_all_that_is_int8(hub: Path, tmp_path: Path, bigrams: int) -> None:
    _, student, context = build_student(hub, tmp_path, bigrams=bigrams)
    tables = {(student.config.vocab_size, 8)}
    if bigrams:
        with_bigrams(student)
        tables.add((bigrams, 8))
    graph = to_onnx.step.apply(student, to_onnx.Params(), context)
    integers = onnx_int8_static.step.apply(graph, onnx_int8_static.Params(embeddings=True), context)
    assert shapes_in_int8(integers) == tables
    np.testing.assert_allclose(answers(integers, context), answers(graph, context), atol=0.05)


def test_distillation_moves_vectors_weights_and_head(hub: Path, tmp_path: Path) -> None:
    _, student, context = build_student(hub, tmp_path, bigrams=32)
    before = copy.deepcopy(student.network.state_dict())
    params = distill.Params(alpha=0.0, temperature=1.0, epochs=3, learning_rate=0.03)
    distill.step.apply(student, params, context)
    losses = [epoch["loss"] for epoch in context.log["epochs"]]
    assert losses[-1] < losses[0]
    changed = {
        name for name, values in student.network.state_dict().items() if not values.equal(before[name])
    }
    assert changed == before.keys()
    with pytest.raises(BuildError, match="put trim_vocabulary before static_student"):
        trim_vocabulary.step.apply(student, trim_vocabulary.Params(vocab_size=20), context)


def test_a_trimmed_vocabulary_keeps_vectors_and_weights_together(hub: Path, tmp_path: Path) -> None:
    _, student, context = build_student(hub, tmp_path)
    before = answers(student, context)
    trim_vocabulary.step.apply(student, trim_vocabulary.Params(), context)
    assert {len(table.weight) for table in student.network.encoder.embeddings.values()} == {
        student.config.vocab_size
    }
    np.testing.assert_allclose(answers(student, context), before, atol=1e-6)


@pytest.mark.parametrize("params", [PAIRS, LABELS], ids=["pairs", "labels"])
def test_a_sentence_encoder_stays_one(tmp_path: Path, params: Any) -> None:
    context = make_embedding_context(tmp_path / "rows", params, calibration=16)
    hub = write_tiny(tmp_path / "hub", "bert", initializer_range=0.2)
    student = static_student.step.apply(
        load_tiny(hub, context), static_student.Params(dims=8, sif=1e9), context
    )
    vectors = compute_vectors(student, context)
    assert vectors.shape[-1] == 8
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1.0, atol=1e-5)
    graph = to_onnx.step.apply(student, to_onnx.Params(), context)
    integers = onnx_int8_static.step.apply(graph, onnx_int8_static.Params(embeddings=True), context)
    assert shapes_in_int8(integers) == {(student.config.vocab_size, 8)}
    encoded = context.task.encode_rows(params, context.rows("selection"), student.tokenizer)
    scores = predict_scores(make_default_predictor(integers, context), encoded, batch_size=8)
    assert (scores * vectors).sum(-1).min() > 0.999


def test_models_that_have_no_such_student_are_refused(hub: Path, tmp_path: Path) -> None:
    step, params = static_student.step, static_student.Params()
    with pytest.raises(SuiteError, match="encoder-decoder writes its answers"):
        step.check(params, {"is_encoder_decoder": True, "d_model": 512})
    with pytest.raises(SuiteError, match="dims = 256, but the model is 128 wide"):
        step.check(params, {"hidden_size": 128})
    with pytest.raises(
        BuildError, match="dims = 33, but the vectors of BertForSequenceClassification have 32"
    ):
        build_student(hub, tmp_path, dims=33)
    context = make_tiny_context(tmp_path, params=PARAMS.model_copy(update={"text": ("text", "label")}))
    with pytest.raises(BuildError, match="reads text, label as one text"):
        step.apply(load_tiny(hub, context), params, context)
    context = make_task_context(tmp_path, "token_classification")
    model = load_tiny(write_tiny(tmp_path / "tags", "bert"), context)
    with pytest.raises(BuildError, match="answers token by token"):
        step.apply(model, params, context)
